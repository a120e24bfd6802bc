//! The record file beside the log, with what the server has promised. It has two copies, so that one survives a
//! torn write or a bad block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::codec::invalid;
use crate::snapshot::sync_directory;

/// Size of a copy: one disk block, which is written completely or not at all.
const SLOT_BYTES: usize = 4096;
const SLOTS: [u64; 2] = [0, SLOT_BYTES as u64];
/// The beginning of each copy; contains the number of this format.
const MAGIC: &[u8; 8] = b"ordulog1";
/// Magic, sequence number, length, checksum.
const HEAD_BYTES: usize = 8 + 8 + 4 + 4;

pub(super) struct RecordFile {
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    sequence: u64,
    content: Option<Vec<u8>>,
}

impl RecordFile {
    /// Opens the file. If it is missing and `may_create` is set, creates an empty one.
    ///
    /// # Errors
    /// If it is missing, cannot be read, or both copies are damaged.
    pub(super) fn open(path: &Path, may_create: bool) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(may_create);
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                invalid(format!("{}, which says what this server has promised, is missing", path.display()))
            }
            _ => error,
        })?;
        // A file shorter than two copies was not completely created, so nothing was promised by it.
        if may_create && file.metadata()?.len() < 2 * SLOT_BYTES as u64 {
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
            file.sync_all()?;
            path.parent().map_or(Ok(()), sync_directory)?;
        }
        let copies: Vec<Slot> = SLOTS.iter().map(|at| read(&file, *at)).collect::<io::Result<_>>()?;
        let newest = copies.iter().filter_map(Slot::whole).max_by_key(|(sequence, _)| *sequence);
        if newest.is_none() && (!may_create || copies.contains(&Slot::Damaged)) {
            return Err(invalid(format!("both copies in {} are damaged", path.display())));
        }
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        let content = newest.map(|(_, content)| content.to_vec());
        Ok(Self { path: path.to_owned(), open: Mutex::new(Open { file, sequence, content }) })
    }

    /// Returns the content of the newest copy; none if the file is new.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).content.clone()
    }

    /// Overwrites the older copy with `content`, durably. Call twice if the content must survive damage to either
    /// copy.
    pub(super) fn write(&self, content: &[u8]) -> io::Result<()> {
        if HEAD_BYTES + content.len() > SLOT_BYTES {
            let path = self.path.display();
            return Err(invalid(format!("{} bytes do not fit into {path}", content.len())));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.sequence += 1;
        let at = SLOTS[usize::from(open.sequence.is_multiple_of(2))];
        open.file.write_all_at(&encode(open.sequence, content), at)?;
        open.file.sync_data()?;
        open.content = Some(content.to_vec());
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
enum Slot {
    /// Never written.
    Blank,
    Whole(u64, Vec<u8>),
    Damaged,
}

impl Slot {
    fn whole(&self) -> Option<(u64, &[u8])> {
        match self {
            Slot::Whole(sequence, content) => Some((*sequence, content)),
            Slot::Blank | Slot::Damaged => None,
        }
    }
}

fn encode(sequence: u64, content: &[u8]) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&sequence.to_be_bytes());
    slot.extend_from_slice(&(content.len() as u32).to_be_bytes());
    slot.extend_from_slice(&checksum(sequence, content).to_be_bytes());
    slot.extend_from_slice(content);
    slot.resize(SLOT_BYTES, 0);
    slot
}

fn checksum(sequence: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_be_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn read(file: &File, at: u64) -> io::Result<Slot> {
    let mut slot = vec![0; SLOT_BYTES];
    match file.read_exact_at(&mut slot, at) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Slot::Damaged),
        Err(error) => return Err(error),
    }
    if slot.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Blank);
    }
    Ok(decode(&slot).unwrap_or(Slot::Damaged))
}

fn decode(slot: &[u8]) -> Option<Slot> {
    let rest = slot.strip_prefix(MAGIC)?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (stored, rest) = rest.split_first_chunk::<4>()?;
    let sequence = u64::from_be_bytes(*sequence);
    let content = rest.get(..u32::from_be_bytes(*length) as usize)?;
    (checksum(sequence, content) == u32::from_be_bytes(*stored))
        .then(|| Slot::Whole(sequence, content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flip(path: &Path, at: u64) {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }

    #[test]
    fn one_copy_may_go_bad_and_two_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        assert!(RecordFile::open(&path, false).is_err(), "it is missing");
        let file = RecordFile::open(&path, true).unwrap();
        assert_eq!(None, file.content());
        for content in [b"one".as_slice(), b"two"] {
            file.write(content).unwrap();
            file.write(content).unwrap();
            assert_eq!(Some(content.to_vec()), RecordFile::open(&path, false).unwrap().content());
        }
        // Flip a bit in the content, the length and the magic.
        for at in [HEAD_BYTES as u64 + 1, 17, 2] {
            flip(&path, at);
            assert_eq!(Some(b"two".to_vec()), RecordFile::open(&path, false).unwrap().content());
            flip(&path, SLOT_BYTES as u64 + at);
            assert!(RecordFile::open(&path, false).is_err(), "{at}");
            assert!(RecordFile::open(&path, true).is_err(), "what is damaged is not taken for new");
            flip(&path, at);
            flip(&path, SLOT_BYTES as u64 + at);
        }
        File::options().write(true).open(&path).unwrap().set_len(SLOT_BYTES as u64 + 9).unwrap();
        assert_eq!(Some(b"two".to_vec()), RecordFile::open(&path, false).unwrap().content());
        File::options().write(true).open(&path).unwrap().set_len(9).unwrap();
        assert!(RecordFile::open(&path, false).is_err());
    }
}

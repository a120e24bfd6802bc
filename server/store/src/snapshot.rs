//! Snapshots: a checkpoint's files, or bytes in memory; stored, sent and received.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use ordu_core::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_FILES_MAX};
use ordu_proto::raft::{self as pb, SnapshotFile, SnapshotHeader};
use prost::Message;

use crate::codec::{self, invalid};
use crate::directory::Directory;
use crate::format::{FIRST, TABLES};
use crate::types::SnapshotMeta;

/// The name of the file with a snapshot's header. It is written last; a directory without it is left over from
/// a crash.
const HEADER_FILE: &str = "ordu-snapshot";

/// Longest name of a snapshot's file in bytes; the limit of common file systems.
const FILE_NAME_BYTES_MAX: usize = 255;

/// Where a snapshot's bytes are stored.
#[derive(Clone, Debug)]
enum Source {
    Directory(Arc<Directory>),
    Memory(Bytes),
}

/// A snapshot, and what it covers.
#[derive(Clone, Debug)]
pub struct SnapshotData {
    /// The log id and the membership at which it was taken.
    pub meta: SnapshotMeta,
    /// The format of its tables ([`TABLES`]).
    pub(crate) format: u32,
    source: Source,
}

/// The file name under which a snapshot in memory is sent.
const MEMORY_FILE: &str = "memory";

impl SnapshotData {
    /// Returns a snapshot with its bytes in memory.
    pub fn in_memory(meta: SnapshotMeta, bytes: Bytes) -> Self {
        Self { meta, format: TABLES.number, source: Source::Memory(bytes) }
    }

    /// Completes a directory of files as a snapshot: writes its header, and makes all of it durable.
    pub(crate) fn complete_directory(path: PathBuf, meta: SnapshotMeta) -> io::Result<Self> {
        let source = Source::Directory(Arc::new(Directory::kept(path.clone())));
        let snapshot = Self { meta, format: TABLES.number, source };
        for file in std::fs::read_dir(&path)? {
            File::open(file?.path())?.sync_all()?;
        }
        let mut bytes = snapshot.header(Vec::new()).encode_to_vec();
        // With a checksum: if a bad disk changed the log index, the log would be purged up to the wrong index.
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let mut file = File::create(path.join(HEADER_FILE))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        sync_directory(&path)?;
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
        Ok(snapshot)
    }

    /// Returns the header, as stored and sent, with the `files` that follow.
    pub fn header(&self, files: Vec<SnapshotFile>) -> SnapshotHeader {
        SnapshotHeader {
            last_log_id: self.meta.last_log_id.as_ref().map(codec::log_id_to_pb),
            membership: Some(codec::stored_membership_to_pb(&self.meta.last_membership)),
            files,
            format: self.format,
            ..SnapshotHeader::default()
        }
    }

    /// Opens the snapshot in `path`; returns `None` if it was not completed.
    pub fn open_directory(path: PathBuf) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(path.join(HEADER_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || invalid(format!("{} is damaged", path.join(HEADER_FILE).display()));
        let (said, checksum) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if crc32fast::hash(said) != u32::from_be_bytes(*checksum) {
            return Err(damaged());
        }
        let header: SnapshotHeader = codec::decode("a snapshot's header", said)?;
        let source = Source::Directory(Arc::new(Directory::kept(path)));
        Ok(Some(Self { meta: meta_of(&header)?, format: format_of(&header), source }))
    }

    /// Returns the snapshot's directory; `None` if it is in memory.
    pub fn directory(&self) -> Option<&Path> {
        match &self.source {
            Source::Directory(directory) => Some(directory.path()),
            Source::Memory(_) => None,
        }
    }

    /// Returns when the snapshot was taken or received here; `None` if it is in memory.
    pub fn since(&self) -> Option<SystemTime> {
        self.directory()?.join(HEADER_FILE).metadata().ok()?.modified().ok()
    }

    /// Marks the directory for removal when the last handle of this snapshot is dropped: a transfer to a slow
    /// server may still read it after a newer snapshot has replaced it.
    pub(crate) fn doom(&self) {
        if let Source::Directory(directory) = &self.source {
            directory.doom();
        }
    }

    /// Returns the bytes of a snapshot in memory; `None` if it is in a directory.
    pub fn memory(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Directory(_) => None,
            Source::Memory(bytes) => Some(bytes),
        }
    }

    /// Returns the files in sending order, with sizes and checksums. Reads every byte.
    pub fn files(&self) -> io::Result<Vec<SnapshotFile>> {
        match &self.source {
            Source::Memory(bytes) => Ok(vec![SnapshotFile {
                name: MEMORY_FILE.to_owned(),
                size_bytes: bytes.len() as u64,
                crc32: crc32fast::hash(bytes),
            }]),
            Source::Directory(directory) => {
                let mut files = Vec::new();
                for file in std::fs::read_dir(directory.path())? {
                    let file = file?;
                    let name =
                        file.file_name().into_string().map_err(|_| invalid("a file name that is no text"))?;
                    if name == HEADER_FILE {
                        continue;
                    }
                    let (size_bytes, crc32) = checksum(&file.path())?;
                    files.push(SnapshotFile { name, size_bytes, crc32 });
                }
                files.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(files)
            }
        }
    }

    /// Reads the bytes of `files`, one after the other.
    pub fn chunks(&self, files: &[SnapshotFile]) -> SnapshotChunks {
        let names = files.iter().rev().map(|file| file.name.clone()).collect();
        SnapshotChunks { source: self.source.clone(), names, open: None, offset: 0 }
    }
}

/// Returns what the snapshot with this header covers.
pub fn meta_of(header: &SnapshotHeader) -> io::Result<SnapshotMeta> {
    let membership = header.membership.clone().unwrap_or_default();
    Ok(SnapshotMeta {
        last_log_id: header.last_log_id.as_ref().map(codec::log_id_from_pb),
        last_membership: codec::stored_membership_from_pb(&membership)?,
    })
}

/// Returns the format in a header; the first format if it is not set.
fn format_of(header: &SnapshotHeader) -> u32 {
    header.format.max(FIRST)
}

/// Reads a snapshot's bytes in chunks.
pub struct SnapshotChunks {
    source: Source,
    /// Files that are not opened yet, in reverse order.
    names: Vec<String>,
    open: Option<File>,
    offset: usize,
}

impl SnapshotChunks {
    /// Whether reading waits for a disk.
    pub fn blocks(&self) -> bool {
        matches!(self.source, Source::Directory(_))
    }

    /// Returns the next chunk; `None` at the end.
    pub fn read_next(&mut self) -> io::Result<Option<Bytes>> {
        match &self.source {
            Source::Memory(bytes) => {
                let end = (self.offset + SNAPSHOT_CHUNK_BYTES).min(bytes.len());
                let chunk = bytes.slice(self.offset..end);
                self.offset = end;
                Ok((!chunk.is_empty()).then_some(chunk))
            }
            Source::Directory(directory) => loop {
                let Some(file) = &mut self.open else {
                    let Some(name) = self.names.pop() else { return Ok(None) };
                    self.open = Some(File::open(directory.path().join(name))?);
                    continue;
                };
                let mut chunk = Vec::with_capacity(SNAPSHOT_CHUNK_BYTES);
                file.take(SNAPSHOT_CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
                if chunk.is_empty() {
                    self.open = None;
                    continue;
                }
                return Ok(Some(chunk.into()));
            },
        }
    }
}

/// Receives a snapshot from another server.
pub struct SnapshotReceiver {
    meta: SnapshotMeta,
    format: u32,
    files: Vec<SnapshotFile>,
    /// Index in `files` of the file that is being received.
    at: usize,
    left_bytes: u64,
    hasher: crc32fast::Hasher,
    target: Target,
}

enum Target {
    Directory { path: PathBuf, file: Option<File>, complete: bool },
    Memory(Vec<u8>),
}

impl SnapshotReceiver {
    /// Receives into a new directory, which is removed if the snapshot is not completed.
    pub fn into_directory(header: &pb::SnapshotHeader, path: PathBuf) -> io::Result<Self> {
        check_header(header)?;
        std::fs::create_dir_all(&path)?;
        Self::new(header, Target::Directory { path, file: None, complete: false })
    }

    /// Receives into memory.
    pub fn into_memory(header: &pb::SnapshotHeader) -> io::Result<Self> {
        check_header(header)?;
        Self::new(header, Target::Memory(Vec::new()))
    }

    fn new(header: &pb::SnapshotHeader, target: Target) -> io::Result<Self> {
        // Created first, so that the target is removed if the rest of the header is invalid.
        let mut receiver = Self {
            meta: SnapshotMeta::default(),
            format: format_of(header),
            files: header.files.clone(),
            at: 0,
            left_bytes: 0,
            hasher: crc32fast::Hasher::new(),
            target,
        };
        receiver.meta = meta_of(header)?;
        receiver.open_file()?;
        Ok(receiver)
    }

    /// Appends the next bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.at == self.files.len() {
                return Err(invalid("a snapshot with more bytes than its header says"));
            }
            let length = usize::try_from(self.left_bytes).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, rest) = bytes.split_at(length);
            match &mut self.target {
                Target::Directory { file: Some(file), .. } => file.write_all(now)?,
                Target::Directory { file: None, .. } => return Err(invalid("a snapshot's file is not open")),
                Target::Memory(memory) => memory.extend_from_slice(now),
            }
            self.hasher.update(now);
            self.left_bytes -= length as u64;
            bytes = rest;
            if self.left_bytes == 0 {
                self.close_file()?;
            }
        }
        Ok(())
    }

    /// Checks that all bytes have arrived, and returns the durable snapshot.
    pub fn finish(mut self) -> io::Result<SnapshotData> {
        if let Some(file) = self.files.get(self.at) {
            return Err(invalid(format!("a snapshot that ends in the middle of {}", file.name)));
        }
        match &mut self.target {
            Target::Memory(memory) => {
                Ok(SnapshotData::in_memory(self.meta.clone(), std::mem::take(memory).into()))
            }
            Target::Directory { path, complete, .. } => {
                TABLES.migrate(self.format, Some(path.as_path()), |_| Ok(()))?;
                let meta = self.meta.clone();
                let snapshot = SnapshotData::complete_directory(path.clone(), meta)?;
                *complete = true;
                // Removed if raft drops it without installing it; installing moves the directory away.
                snapshot.doom();
                Ok(snapshot)
            }
        }
    }

    fn open_file(&mut self) -> io::Result<()> {
        while let Some(next) = self.files.get(self.at) {
            self.left_bytes = next.size_bytes;
            self.hasher = crc32fast::Hasher::new();
            if let Target::Directory { path, file, .. } = &mut self.target {
                *file = Some(File::create_new(path.join(&next.name))?);
            }
            if self.left_bytes > 0 {
                break;
            }
            self.at += 1;
        }
        Ok(())
    }

    fn close_file(&mut self) -> io::Result<()> {
        let file = &self.files[self.at];
        let found = std::mem::replace(&mut self.hasher, crc32fast::Hasher::new()).finalize();
        if found != file.crc32 {
            return Err(invalid(format!("the snapshot's file {} arrived damaged", file.name)));
        }
        self.at += 1;
        self.open_file()
    }
}

impl Drop for SnapshotReceiver {
    fn drop(&mut self) {
        if let Target::Directory { path, complete: false, .. } = &self.target
            && let Err(error) = std::fs::remove_dir_all(path)
        {
            tracing::warn!(%error, path = %path.display(), "what was received of a snapshot cannot be removed");
        }
    }
}

fn check_header(header: &SnapshotHeader) -> io::Result<()> {
    TABLES.check(format_of(header), "the snapshot that another server sends")?;
    check_files(&header.files).map(drop)
}

/// Checks the file list that a peer announces, and returns the total size in bytes. Files are created under
/// these names, so only plain and distinct names are allowed, and not the name of the header file.
///
/// # Errors
/// A sentence that says what is invalid.
pub fn check_files(files: &[SnapshotFile]) -> io::Result<u64> {
    if files.is_empty() {
        return Err(invalid("a snapshot without files"));
    }
    if files.len() > SNAPSHOT_FILES_MAX {
        return Err(invalid(format!(
            "a snapshot of {} files; {SNAPSHOT_FILES_MAX} are allowed",
            files.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut total_bytes = 0_u64;
    for SnapshotFile { name, size_bytes, crc32 } in files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_plain = (1..=FILE_NAME_BYTES_MAX).contains(&name.len())
            && !name.starts_with('.')
            && name.chars().all(plain);
        if !is_plain || name == HEADER_FILE {
            let shown: String = name.chars().take(FILE_NAME_BYTES_MAX).collect();
            return Err(invalid(format!("a snapshot with a file named {shown:?}")));
        }
        if !names.insert(name) {
            return Err(invalid(format!("a snapshot with two files named {name:?}")));
        }
        if *size_bytes == 0 && *crc32 != crc32fast::hash(&[]) {
            return Err(invalid(format!(
                "a snapshot with a file {name} that is empty and has a checksum of bytes"
            )));
        }
        total_bytes = total_bytes
            .checked_add(*size_bytes)
            .filter(|total| *total <= SNAPSHOT_BYTES_MAX)
            .ok_or_else(|| invalid(format!("a snapshot of more than {SNAPSHOT_BYTES_MAX} bytes")))?;
    }
    Ok(total_bytes)
}

/// Makes the file names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0; SNAPSHOT_CHUNK_BYTES];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((size_bytes, hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
        size_bytes += length as u64;
    }
}

//! A systemd of its own, on a copy of this machine's files that takes no change back: units are started for real.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::root::Root;
use super::wait::{eventually_blocking, look_for};

/// It is up, or it never will be.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// Its own control group comes first, beneath which it makes those of its units.
const BEGIN: &str = r#"
echo $$ >"$ORDU_TEST_CGROUP/cgroup.procs" &&
exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net /bin/sh -c "$ORDU_TEST_BOOT"
"#;

/// What is done in namespaces of its own before systemd is their first process: files on top of the machine's, and the
/// few devices and file systems that systemd cannot be without.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$ORDU_TEST_ROOT/layer"
mkdir "$ORDU_TEST_ROOT/layer/upper" "$ORDU_TEST_ROOT/layer/work" "$ORDU_TEST_ROOT/layer/root"
root="$ORDU_TEST_ROOT/layer/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$ORDU_TEST_ROOT/layer/upper,workdir=$ORDU_TEST_ROOT/layer/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
rm -rf "$root"/etc/systemd/system/*.wants
# There is no network to wait for.
ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd-wait-online.service"
echo uninitialized >"$root/etc/machine-id"
touch "$root/usr/local/bin/ordu"
mount --bind "$ORDU_TEST_BINARY" "$root/usr/local/bin/ordu"
for unit in $ORDU_TEST_UNITS; do cp "$unit" "$root/etc/systemd/system/"; done
mkdir -p "$root/etc/sysusers.d"
cp "$ORDU_TEST_SYSUSERS" "$root/etc/sysusers.d/ordu.conf"
cd "$root"
pivot_root . mnt
exec env -i container=ordu-test ORDU_TEST_ROOT="$ORDU_TEST_ROOT" PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . \
    /bin/sh -c 'umount -l /mnt && exec /lib/systemd/systemd --system --unit=basic.target --show-status=0'
"#;

/// A running systemd. Dropping it ends all that it has started.
pub struct Systemd {
    process: Child,
    pid: u32,
    cgroup: PathBuf,
}

impl Systemd {
    /// Boots one, with these unit files, this file for systemd-sysusers, and `binary` as `/usr/local/bin/ordu`.
    ///
    /// # Errors
    /// In words, where this machine cannot.
    pub async fn boot(root: &Root, binary: &Path, units: &[&Path], sysusers: &Path) -> Result<Self, String> {
        if !Path::new("/lib/systemd/systemd").exists() {
            return Err("there is no systemd on this machine".to_owned());
        }
        fs::create_dir_all(root.path().join("layer")).map_err(|error| error.to_string())?;
        let log = root.log("systemd");
        let output = fs::File::create(&log).map_err(|error| error.to_string())?;
        let absolute = |path: &Path| {
            let path = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(path.display().to_string())
        };
        let units = units.iter().map(|unit| absolute(unit)).collect::<Result<Vec<_>, _>>()?;
        let cgroup = own_cgroup().ok_or("this machine has no control groups of version 2")?;
        fs::create_dir(&cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
        let process = Command::new("/bin/sh")
            .args(["-c", BEGIN])
            .env("ORDU_TEST_BOOT", BOOT)
            .env("ORDU_TEST_CGROUP", &cgroup)
            .env("ORDU_TEST_ROOT", root.path())
            .env("ORDU_TEST_BINARY", absolute(binary)?)
            .env("ORDU_TEST_UNITS", units.join(" "))
            .env("ORDU_TEST_SYSUSERS", absolute(sysusers)?)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(|error| error.to_string())?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let mut systemd = Self { process, pid: 0, cgroup };
        let up = look_for(UP_WITHIN, || std::future::ready(systemd.is_up())).await.flatten();
        up.map_err(|why| format!("{why}: {}", fs::read_to_string(&log).unwrap_or_default().trim()))?;
        Ok(systemd)
    }

    /// `Ok` with what cannot change any more, `Err` with what is waited for.
    fn is_up(&mut self) -> Result<Result<(), String>, String> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return Ok(Err(format!("no systemd can be started here ({status})")));
        }
        let parent = self.process.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let child = children.ok().and_then(|children| children.split(' ').next()?.parse().ok());
        self.pid = child.ok_or("it has not begun")?;
        // Before, the files are this machine's own, and so would be the systemd that is asked.
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid));
        if name.map_or(true, |name| name.trim() != "systemd") {
            return Err("its files are being laid out".to_owned());
        }
        let state = self.run(&["systemctl", "is-system-running"]);
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        // Units of the machine that this one cannot start do not matter.
        if ["running", "degraded"].contains(&state.as_str()) { Ok(Ok(())) } else { Err(state) }
    }

    /// Runs a command where that systemd is the first process.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--root", "--wd", "--"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter can be run")
    }

    /// The same; gives what it printed, and both outputs where it failed.
    ///
    /// # Errors
    /// With all that was printed.
    pub fn ask(&self, command: &[&str]) -> Result<String, String> {
        let output = self.run(command);
        let [said, complained] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        match output.status.success() {
            true => Ok(said),
            false => Err(format!("{command:?}: {}: {said}{complained}", output.status)),
        }
    }

    /// Writes a file there.
    pub fn write(&self, path: &str, text: &str) {
        let place = format!("/proc/{}/root{path}", self.pid);
        let folder = Path::new(&place).parent().expect("a file is in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&place, text))
            .expect("the layer can be written to");
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Its child is the first process of its namespace: all others go with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        eventually_blocking(Duration::from_secs(10), || remove_cgroups(&self.cgroup).is_ok());
    }
}

/// Where a control group of this process's own may be made.
fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(group).join(format!("ordu-test-{}", std::process::id())))
}

/// Removes a control group and those beneath it, which must be empty.
fn remove_cgroups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

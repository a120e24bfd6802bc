//! A separate systemd on an overlay of this machine's files that is discarded afterwards. It starts real units.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::root::Root;
use super::wait::{eventually_blocking, look_for};

/// Timeout for systemd to start.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// Moves the process into its own control group, below which systemd creates those of its units.
const BEGIN: &str = r#"
echo $$ >"$ORDU_TEST_CGROUP/cgroup.procs" &&
exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net /bin/sh -c "$ORDU_TEST_BOOT"
"#;

/// Prepares the namespaces before systemd becomes their first process: an overlay over the machine's files, and the
/// devices and file systems that systemd requires.
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

/// A running systemd. Dropping it ends everything that it has started.
pub struct Systemd {
    process: Child,
    pid: u32,
    cgroup: PathBuf,
}

impl Systemd {
    /// Boots systemd with these unit files, this file for systemd-sysusers, and `binary` as `/usr/local/bin/ordu`.
    ///
    /// # Errors
    /// A message, if this machine does not support it.
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

    /// Returns `Ok` with the final result, or `Err` with what is still missing.
    fn is_up(&mut self) -> Result<Result<(), String>, String> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return Ok(Err(format!("no systemd can be started here ({status})")));
        }
        let parent = self.process.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let child = children.ok().and_then(|children| children.split(' ').next()?.parse().ok());
        self.pid = child.ok_or("it has not begun")?;
        // Until then the files are the machine's own, and `systemctl` would ask the machine's systemd.
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid));
        if name.map_or(true, |name| name.trim() != "systemd") {
            return Err("its files are being laid out".to_owned());
        }
        let state = self.run(&["systemctl", "is-system-running"]);
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        // Some of the machine's units cannot start here, which does not matter.
        if ["running", "degraded"].contains(&state.as_str()) { Ok(Ok(())) } else { Err(state) }
    }

    /// Runs a command in this systemd's namespaces.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--root", "--wd", "--"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter can be run")
    }

    /// Runs a command in this systemd's namespaces and returns its standard output.
    ///
    /// # Errors
    /// Both outputs, if the command failed.
    pub fn ask(&self, command: &[&str]) -> Result<String, String> {
        let output = self.run(command);
        let [said, complained] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        match output.status.success() {
            true => Ok(said),
            false => Err(format!("{command:?}: {}: {said}{complained}", output.status)),
        }
    }

    /// Writes a file in the overlay.
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
        // Its child is the first process of the pid namespace, so all others end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        eventually_blocking(Duration::from_secs(10), || remove_cgroups(&self.cgroup).is_ok());
    }
}

/// Returns the path of a control group that this process may create for itself.
fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(group).join(format!("ordu-test-{}", std::process::id())))
}

/// Removes an empty control group and its descendants.
fn remove_cgroups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

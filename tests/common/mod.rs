//! A made-up project, L4Re tree, kernel tree and QEMU, so that `percore` can be run whole without
//! any of them. The made-up QEMU prints a file and then sleeps, like a guest that has no more to say.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

/// Everything in one temporary directory.
pub struct World {
    dir: tempfile::TempDir,
}

/// Entries that the tests boot.
const LIST: &str = "\
entry[expect=Hello World!] hello
roottask moe --init=rom/hello
module l4re
module hello

entry quiet
module hello

entry commas
sigma0 sigma0 reserve=1,2
module hello

entry missing
module not-built

entry[tap, timeout=5] rows
module hello
";

impl World {
    /// All parts in place; the guest prints nothing.
    pub fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        world.put("project/conf/modules.list", LIST);
        world.put("project/conf/machines/.keep", "");
        world.put(
            "project/conf/count/kernel-events.toml",
            include_str!("../../conf/count/kernel-events.toml"),
        );
        world.put(
            "project/target-l4re/x86_64-unknown-linux-gnu/release/sigma0-rs",
            "",
        );
        world.put(
            "l4/.kconfig",
            "CONFIG_BUILD_ARCH=\"amd64\"\nCONFIG_BUILD_ABI=\"l4f\"\nCONFIG_CPU=\"gen\"\n",
        );
        world.put("l4/include/l4/sys/types.h", "");
        world.put("l4/bin/amd64_gen/plain/bootstrap.elf", "");
        for name in ["sigma0", "moe", "ned", "l4re", "hello"] {
            world.put(&format!("l4/bin/amd64_gen/l4f/{name}"), "");
        }
        world.put("l4src/conf/keep", "");
        symlink(world.path("l4src"), world.path("l4/source")).unwrap();
        world.put(
            "kernel/globalconfig.out",
            "CONFIG_AMD64=y\nCONFIG_MP_MAX_CPUS=8\n",
        );
        world.put("kernel/fiasco", "");
        // The guest with the project's root pager may print something else.
        world.qemu(
            "case \"$*\" in *sigma0-rs*) cat \"$here/ours.log\";; *) cat \"$here/guest.log\";; esac\n\
             exec sleep 1000",
        );
        world.guest("");
        world
    }

    /// A path below the temporary directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file.
    pub fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What the guest prints, whichever root pager it has.
    pub fn guest(&self, log: &str) {
        self.put("guest.log", log);
        self.put("ours.log", log);
    }

    /// Replaces QEMU by a script for its boots. It first leaves its process id in `pid`.
    pub fn qemu(&self, script: &str) {
        let text = format!(
            "#!/bin/sh\nhere='{}'\n\
             [ \"$1\" = --version ] && exec echo 'made-up QEMU 1'\n\
             echo $$ >> \"$here/pid\"\n{script}\n",
            self.dir.path().display()
        );
        self.put("qemu", &text);
        fs::set_permissions(self.path("qemu"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `percore` in the made-up project, with the made-up trees and nothing of the user's setting.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
        command
            .current_dir(self.path("project"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            // What a killed percore leaves goes with this directory.
            .env("TMPDIR", self.dir.path())
            .env("L4RE_BUILD", self.path("l4"))
            .env("FIASCO_BUILD", self.path("kernel"))
            .env("QEMU", self.path("qemu"));
        command
    }

    /// The same with arguments, ready for assertions.
    pub fn percore(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = self.command();
        command.args(args);
        assert_cmd::Command::from_std(command)
    }

    /// Process ids of all QEMUs started so far.
    pub fn qemu_pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path("pid")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

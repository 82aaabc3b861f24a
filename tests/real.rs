//! Boots of the real kernel with upstream's servers. They need the trees of the setting and QEMU;
//! where those are absent the tests say so and check nothing.

use assert_cmd::Command;

fn boot(args: &[&str]) {
    match l4re_tree::find() {
        Ok(Some(trees)) if trees.fiasco.is_some() && which::which("qemu-system-x86_64").is_ok() => {
        }
        Ok(_) => {
            eprintln!(
                "left out: booting the real kernel (needs L4RE_BUILD, FIASCO_BUILD and QEMU)"
            );
            return;
        }
        Err(error) => panic!("{error}"),
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_percore"));
    command
        .args(["qemu", "--sigma0", "upstream"])
        .args(args)
        .assert()
        .code(0);
}

#[test]
fn hello_on_one_cpu_with_512_mib() {
    boot(&["hello", "--cpus", "1", "--memory", "512M"]);
}

#[test]
fn two_programs_from_ned_on_a_numa_machine() {
    boot(&["hello-ned", "--machine", "numa-2x2"]);
}

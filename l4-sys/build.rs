//! Prepares the ABI proof (`tests/abi`) when an L4Re tree is configured; otherwise does nothing.
//!
//! Nothing of it reaches the library: the outputs are a table of the tree's numbers and a small
//! static archive, and only the test uses them. A target build has nothing to prove and returns at
//! once, and without the feature `abi-proof` no dependency of the proof is even compiled.

#[cfg(feature = "abi-proof")]
#[path = "build/proof.rs"]
mod proof;

#[cfg(not(feature = "abi-proof"))]
mod proof {
    /// Says why there is no proof.
    pub fn prepare() {
        println!("cargo::rustc-env=L4_SYS_ABI_PROOF=the feature abi-proof is off");
    }
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    // Set for the test when the proof is prepared.
    println!("cargo::rustc-check-cfg=cfg(abi_proof)");
    if std::env::var_os("CARGO_CFG_L4RE").is_none() {
        proof::prepare();
    }
}

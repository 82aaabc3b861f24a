//! Where the L4Re and Fiasco build trees of the user are.
//!
//! There is one setting, in two spellings: the environment variables [`L4RE_BUILD`] (the build
//! directory of L4Re) and [`FIASCO_BUILD`] (that of the kernel), or the same two keys in
//! `percore/config.toml` of the user's configuration directory. A variable wins over its key; an
//! empty variable counts as not set.
//!
//! [`find`] has three answers, and callers must keep them apart:
//!
//! - `Ok(None)`: nothing is set. Leave out what needs a tree and say so in one line.
//! - `Ok(Some(trees))`: set, and what the crate needs is there.
//! - `Err(error)`: set but wrong. The text names the setting, the path and what is missing in it.
//!   Stop: a user who gave a tree does not want a run without it.
//!
//! The crate is used by build scripts too, so it only looks at files and runs at most `git`.

mod build_dir;
mod error;
mod fiasco;
mod l4re;
mod revision;
mod setting;

pub use error::Error;
pub use fiasco::FiascoBuild;
pub use l4re::{ARCH, L4reBuild};
pub use revision::Revision;
pub use setting::{FIASCO_BUILD, L4RE_BUILD, Setting, Source, Value, config_file};

/// The trees that the user's setting names, checked.
#[derive(Debug, Clone)]
pub struct Trees {
    /// L4Re's build directory.
    pub l4re: L4reBuild,
    /// The kernel's build directory. Headers and programs do not need it; booting does.
    pub fiasco: Option<FiascoBuild>,
}

/// Looks the setting up and checks what it names.
///
/// # Errors
/// The configuration file cannot be read or parsed, a path is not a build directory of the right
/// kind, or only the kernel's directory is set.
pub fn find() -> Result<Option<Trees>, Error> {
    from_setting(&Setting::read()?)
}

/// As [`find`], from a setting that the caller has read.
///
/// # Errors
/// As [`find`].
pub fn from_setting(setting: &Setting) -> Result<Option<Trees>, Error> {
    let Some(l4re) = &setting.l4re_build else {
        return match &setting.fiasco_build {
            Some(kernel) => Err(Error::KernelOnly {
                source_of_kernel: kernel.source.clone(),
            }),
            None => Ok(None),
        };
    };
    let l4re = L4reBuild::open(l4re)?;
    let fiasco = setting
        .fiasco_build
        .as_ref()
        .map(FiascoBuild::open)
        .transpose()?;
    Ok(Some(Trees { l4re, fiasco }))
}

/// Prints the lines that make cargo run a build script again when the setting changes.
///
/// Call it from `build.rs` before [`find`].
pub fn print_rerun_if_changed() {
    println!("cargo::rerun-if-env-changed={L4RE_BUILD}");
    println!("cargo::rerun-if-env-changed={FIASCO_BUILD}");
    for name in ["XDG_CONFIG_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // A path that does not exist would make cargo run the script at every build.
    if let Some(path) = config_file().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

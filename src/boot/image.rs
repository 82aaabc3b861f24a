//! Finds the files of a boot and writes QEMU's command line.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use l4re_tree::Trees;

use super::{Request, Server, libs};
use crate::Error;
use crate::modlist::Module;
use crate::project::Project;

/// The emulator; looked up in `PATH`. The variable `QEMU` names another.
const QEMU: &str = "qemu-system-x86_64";

/// One file of the boot and what the guest sees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// Where it is on the host.
    pub path: PathBuf,
    /// Name in the guest.
    pub name: String,
    /// Arguments.
    pub args: String,
}

/// Everything that a boot needs, found.
#[derive(Debug, Clone)]
pub struct Image {
    /// The emulator.
    pub qemu: PathBuf,
    /// The multiboot loader.
    pub bootstrap: BootFile,
    /// Kernel, sigma0, root task, then the rest.
    pub modules: Vec<BootFile>,
    /// QEMU's arguments for the machine and what the caller added.
    machine_args: Vec<OsString>,
}

impl Image {
    /// Finds every file of a request.
    ///
    /// # Errors
    /// No tree is set, QEMU or a file is missing, two modules have one name, or the kernel cannot
    /// use that many CPUs.
    pub fn gather(request: &Request, project: &Project, trees: &Trees) -> Result<Self, Error> {
        let entry = &request.entry;
        let mut dirs = request.search_dirs.clone();
        dirs.extend(project.search_dirs());
        dirs.extend(trees.l4re.search_dirs());
        dirs.extend(trees.fiasco.iter().map(|tree| tree.root().to_path_buf()));
        dirs.push(trees.l4re.source_root().join("conf/examples"));
        let finder = Finder {
            dirs,
            project,
            trees,
        };

        let mut kernel = match &request.kernel {
            Some(path) => finder.given(path, &entry.kernel.args)?,
            None => finder.kernel(&entry.kernel)?,
        };
        append(&mut kernel.args, &request.kernel_args.join(" "));
        if request.kernel.is_none() {
            check_cpus(request, trees)?;
        }
        let mut sigma0 = finder.server(request.sigma0.as_ref(), &entry.sigma0, "sigma0")?;
        append(&mut sigma0.args, &request.sigma0_args.join(" "));
        let mut roottask = finder.server(request.moe.as_ref(), &entry.roottask, "moe")?;
        append(&mut roottask.args, &script_args(request)?);
        append(&mut roottask.args, &request.roottask_args.join(" "));

        let mut modules = vec![kernel, sigma0, roottask];
        let mut scan = Vec::new();
        for module in &entry.modules {
            let file = finder.module(module)?;
            if module.scan_libs {
                scan.push(file.path.clone());
            }
            modules.push(file);
        }
        for name in libs::needed(&scan, |name| finder.find(name))? {
            if modules.iter().all(|module| module.name != name) {
                modules.push(finder.module(&Module::new(&name))?);
            }
        }
        check_names(&modules, entry.name.as_str())?;

        let mut bootstrap = BootFile {
            path: match entry.bootstrap.file.as_str() {
                "bootstrap" => trees.l4re.bootstrap()?,
                _ => finder.module(&entry.bootstrap)?.path,
            },
            name: entry.bootstrap.name.clone(),
            args: entry.bootstrap.args.clone(),
        };
        if let Some(address) = &entry.modaddr {
            append(&mut bootstrap.args, &format!("-modaddr={address}"));
        }
        let machine_args = request.machine.qemu_args().into_iter().map(OsString::from);
        Ok(Self {
            qemu: find_qemu()?,
            bootstrap,
            modules,
            machine_args: machine_args.chain(request.qemu_args.clone()).collect(),
        })
    }

    /// QEMU's arguments. With `linked`, modules are named as links in QEMU's current directory,
    /// else by their full path.
    pub fn arguments(&self, linked: bool) -> Vec<OsString> {
        let module = |file: &BootFile| {
            let mut text = match linked {
                true => file.name.clone(),
                false => file.path.display().to_string(),
            };
            append(&mut text, &file.args);
            // QEMU splits the list at commas and takes a doubled one for a comma.
            text.replace(',', ",,")
        };
        let list: Vec<_> = self.modules.iter().map(module).collect();
        let mut line = self.bootstrap.name.clone();
        append(&mut line, &self.bootstrap.args);
        let mut args: Vec<OsString> = [
            // One host thread for all CPUs: counts repeat, and a guest CPU that holds a lock is
            // never put to sleep by the host while others spin.
            "-accel",
            "tcg,thread=single",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-chardev",
            "stdio,id=log,signal=off",
            "-serial",
            "chardev:log",
        ]
        .map(OsString::from)
        .into();
        args.extend(self.machine_args.iter().cloned());
        args.extend(["-kernel".into(), self.bootstrap.path.clone().into()]);
        args.extend(["-append".into(), line.into()]);
        args.extend(["-initrd".into(), list.join(",").into()]);
        args
    }
}

/// What the boot script of an entry marked `pagers` is told.
fn script_args(request: &Request) -> Result<String, Error> {
    let server = request.memory_server.as_deref();
    if !request.entry.pagers {
        return match server {
            None => Ok(String::new()),
            Some(_) => Err(Error::Usage(format!(
                "entry '{}' has one memory server; expected entry[pagers] in its line for \
                 --memory-server",
                request.entry.name
            ))),
        };
    }
    match server.unwrap_or("ours") {
        server @ ("ours" | "upstream") => {
            Ok(format!("cores={} memory={server}", request.machine.cpus()))
        }
        other => Err(Error::Usage(format!(
            "memory server '{other}'; expected ours or upstream"
        ))),
    }
}

/// Adds arguments to a command line.
fn append(line: &mut String, args: &str) {
    if !line.is_empty() && !args.is_empty() {
        line.push(' ');
    }
    line.push_str(args);
}

struct Finder<'a> {
    dirs: Vec<PathBuf>,
    project: &'a Project,
    trees: &'a Trees,
}

impl Finder<'_> {
    /// A file by name or path.
    fn find(&self, file: &str) -> Option<PathBuf> {
        let path = Path::new(file);
        if path.is_absolute() {
            return path.is_file().then(|| path.to_path_buf());
        }
        let mut found = self.dirs.iter().map(|dir| dir.join(path));
        found.find(|path| path.is_file())
    }

    fn module(&self, module: &Module) -> Result<BootFile, Error> {
        let Some(path) = self.find(&module.file) else {
            let dirs: Vec<_> = self
                .dirs
                .iter()
                .map(|dir| dir.display().to_string())
                .collect();
            return Err(Error::Missing {
                what: format!(
                    "boot file '{}' is in none of: {}",
                    module.file,
                    dirs.join(", ")
                ),
                remedy: "run 'percore build', or build its package in the L4Re tree".into(),
            });
        };
        Ok(BootFile {
            path,
            name: module.name.clone(),
            args: module.args.clone(),
        })
    }

    /// The kernel of an entry: `fiasco` is the one of the kernel's build directory.
    fn kernel(&self, module: &Module) -> Result<BootFile, Error> {
        if module.file != "fiasco" {
            return self.module(module);
        }
        let tree = self.trees.fiasco.as_ref().ok_or_else(|| Error::Missing {
            what: format!("no kernel: {} is not set", l4re_tree::FIASCO_BUILD),
            remedy: "set it to Fiasco's build directory, or give --kernel PATH".into(),
        })?;
        Ok(BootFile {
            path: tree.kernel(),
            name: module.name.clone(),
            args: module.args.clone(),
        })
    }

    /// A file that the user named on the command line.
    fn given(&self, path: &Path, args: &str) -> Result<BootFile, Error> {
        let wrong = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
        let full = path
            .canonicalize()
            .map_err(|cause| wrong(cause.to_string()))?;
        let name = full.file_name().and_then(|name| name.to_str());
        Ok(BootFile {
            name: name.ok_or_else(|| wrong("no file name".into()))?.to_owned(),
            path: full.clone(),
            args: args.to_owned(),
        })
    }

    /// A server: the entry's, or the one that takes its place with the entry's arguments.
    fn server(
        &self,
        server: Option<&Server>,
        module: &Module,
        upstream: &str,
    ) -> Result<BootFile, Error> {
        match server {
            None => self.module(module),
            Some(Server::File(path)) => self.given(path, &module.args),
            Some(Server::Upstream) => Ok(BootFile {
                path: self.trees.l4re.file(upstream)?,
                name: upstream.to_owned(),
                args: module.args.clone(),
            }),
            Some(Server::Ours) => {
                let name = format!("{upstream}-rs");
                let path = self.project.target_bin().join(&name);
                if !path.is_file() {
                    return Err(Error::Missing {
                        what: format!("{} is not there", path.display()),
                        remedy: "run 'percore build'".into(),
                    });
                }
                Ok(BootFile {
                    path,
                    name,
                    args: module.args.clone(),
                })
            }
        }
    }
}

fn check_cpus(request: &Request, trees: &Trees) -> Result<(), Error> {
    let max = trees
        .fiasco
        .as_ref()
        .map_or(u32::MAX, |tree| tree.max_cpus());
    if request.machine.cpus() > max {
        return Err(Error::Usage(format!(
            "{} CPUs, but the kernel was built for at most {max}; expected fewer, or a kernel with a larger MP_MAX_CPUS",
            request.machine.cpus()
        )));
    }
    Ok(())
}

/// The guest's boot file system has one flat name space.
fn check_names(modules: &[BootFile], entry: &str) -> Result<(), Error> {
    for (index, module) in modules.iter().enumerate() {
        if modules[..index]
            .iter()
            .any(|other| other.name == module.name)
        {
            return Err(Error::Usage(format!(
                "entry '{entry}' has two modules named '{}'; expected different names (fname=NAME)",
                module.name
            )));
        }
        if module.name.contains(char::is_whitespace) {
            return Err(Error::Usage(format!(
                "module name '{}' has a blank; expected none (fname=NAME)",
                module.name
            )));
        }
    }
    Ok(())
}

/// The emulator of this machine.
///
/// # Errors
/// It is not installed.
pub fn find_qemu() -> Result<PathBuf, Error> {
    let name = env::var_os("QEMU").unwrap_or_else(|| QEMU.into());
    which::which(&name).map_err(|cause| Error::Missing {
        what: format!("'{}' cannot be run ({cause})", name.to_string_lossy()),
        remedy: "install the Debian package qemu-system-x86, or set QEMU".into(),
    })
}

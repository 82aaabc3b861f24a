//! Options of the main job and of `percore trace`.

use std::path::PathBuf;

use super::plan::{Layout, Policy};

/// Options of the modelled experiment.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Modelled experiment")]
pub struct Args {
    /// Machine: a name from conf/machines or a file. Default: the paper's, 48 cores in 8 nodes.
    #[arg(long)]
    pub machine: Option<String>,
    /// Numbers of cores to run, e.g. 1,8,48. Default: from 1 to all in about ten steps.
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<u32>,
    /// Pages that each core allocates and frees.
    #[arg(long, default_value_t = super::paper::PAGES)]
    pub pages: u32,
    /// Layouts to run. Default: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub layout: Vec<Layout>,
    /// The pagers' frame allocator. Default: the server's, or what the script says.
    #[arg(long, value_enum)]
    pub policy: Option<Policy>,
    /// Seed of everything random; runs of one seed are the same bit for bit.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Cost file. Default: conf/cost/opteron-6174.toml.
    #[arg(long, value_name = "FILE")]
    pub cost: Option<PathBuf>,
    /// Boot script to run instead of those of the three layouts.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Real threads, one for each simulated core, instead of virtual time: shows races, has no
    /// times.
    #[arg(long)]
    pub threads: bool,
    /// Where the report goes.
    #[arg(long, value_name = "FOLDER", default_value = "target/percore-report")]
    pub report: PathBuf,
}

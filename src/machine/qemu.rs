//! A machine as QEMU's arguments.

use super::Machine;

impl Machine {
    /// `-machine`, `-smp`, `-m`, `-object` and `-numa` for this machine.
    pub fn qemu_args(&self) -> Vec<String> {
        let mut args = vec!["-machine".into(), "q35".into()];
        let mut add = |option: &str, value: String| {
            args.push(option.to_owned());
            args.push(value);
        };
        if let Some(model) = &self.cpu_model {
            add("-cpu", model.clone());
        }
        add(
            "-smp",
            format!(
                "{},sockets={},cores={},threads=1",
                self.cpus(),
                self.sockets,
                self.cores
            ),
        );
        add("-m", format!("{}M", self.memory.mib()));
        for (id, node) in self.nodes.iter().enumerate() {
            let mut value = format!("node,nodeid={id}");
            for range in node.cpus.ranges() {
                value += &format!(",cpus={range}");
            }
            if node.memory.mib() > 0 {
                add(
                    "-object",
                    format!("memory-backend-ram,id=mem{id},size={}M", node.memory.mib()),
                );
                value += &format!(",memdev=mem{id}");
            }
            add("-numa", value);
        }
        for (from, node) in self.nodes.iter().enumerate() {
            for (to, distance) in node
                .distances
                .iter()
                .enumerate()
                .filter(|&(to, _)| to != from)
            {
                add("-numa", format!("dist,src={from},dst={to},val={distance}"));
            }
        }
        args
    }
}

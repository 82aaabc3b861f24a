//! Machine files: what they become, and the message for each mistake.

use super::*;

const TWO: &str = "\
sockets = 2
cores = 1
[[node]]
cpus = \"0\"
memory = \"1G\"
distances = [10, 21]
[[node]]
cpus = \"1\"
distances = [21, 10]
";

fn parse(text: &str) -> Result<Machine, (usize, String)> {
    file::parse(text, "test")
        .map_err(|(span, problem)| (text[..span.start].matches('\n').count() + 1, problem))
}

#[test]
fn a_numa_machine_becomes_arguments() {
    let machine = parse(TWO).unwrap();
    assert_eq!(
        machine.qemu_args().join(" "),
        "-machine q35 -smp 2,sockets=2,cores=1,threads=1 -m 1024M \
         -object memory-backend-ram,id=mem0,size=1024M -numa node,nodeid=0,cpus=0,memdev=mem0 \
         -numa node,nodeid=1,cpus=1 -numa dist,src=0,dst=1,val=21 -numa dist,src=1,dst=0,val=21"
    );
}

#[test]
fn mistakes_are_found_with_their_line() {
    for (from, to, line, start) in [
        (
            "cores = 1",
            "cores = 0",
            2,
            "2 sockets with 0 cores; expected 1 to 255 CPUs",
        ),
        (
            "cores = 1",
            "cores = 2",
            2,
            "CPU 2 is in no node; expected each of 0 to 3",
        ),
        (
            "cores = 1",
            "cores = 1\ncolour = 3",
            3,
            "unknown field `colour`",
        ),
        (
            "cores = 1",
            "cores = 1\nmemory = \"1G\"",
            3,
            "memory beside nodes; expected it in each",
        ),
        (
            "cpus = \"1\"",
            "cpus = \"0\"",
            8,
            "CPU 0 is in node 0 too; expected it in one node",
        ),
        ("cpus = \"1\"", "cpus = \"2\"", 8, "CPU 2; expected 0 to 1"),
        (
            "cpus = \"1\"",
            "cpus = \"3-1\"",
            8,
            "'3-1' is no set of CPUs; expected for example",
        ),
        (
            "memory = \"1G\"",
            "memory = \"lots\"",
            5,
            "'lots' is no amount of memory; expected",
        ),
        (
            "memory = \"1G\"",
            "memory = \"0\"",
            5,
            "no memory; expected an amount",
        ),
        (
            "memory = \"1G\"",
            "memory = \"16M\"",
            1,
            "16M of memory in all; expected at least 288M",
        ),
        (
            "[10, 21]",
            "[10, 21, 21]",
            6,
            "3 distances; expected one to each of the 2 nodes",
        ),
        (
            "[10, 21]",
            "[11, 21]",
            6,
            "distance 11 of node 0 to itself; expected 10",
        ),
        (
            "[10, 21]",
            "[10, 9]",
            6,
            "distance 9 to node 1; expected more than 10",
        ),
        (
            "[10, 21]",
            "[10, 22]",
            6,
            "distance 22 to node 1; expected the same both ways",
        ),
        (
            "distances = [21, 10]\n",
            "",
            7,
            "no distances here but in other nodes",
        ),
        (
            "cpus = \"1\"\ndistances = [21, 10]",
            "",
            7,
            "an empty node; expected cpus, memory",
        ),
        (
            "sockets = 2",
            "sockets = \"two\"",
            1,
            "invalid type: string",
        ),
    ] {
        let text = TWO.replacen(from, to, 1);
        assert_ne!(text, TWO, "{from}");
        let (at, problem) = parse(&text).unwrap_err();
        assert!(problem.starts_with(start), "{to:?}: {problem}");
        assert_eq!(at, line, "{to:?}: {problem}");
    }
}

#[test]
fn memory_is_shared_out_as_before_and_none_is_lost() {
    let text = TWO.replace("cpus = \"1\"", "cpus = \"1\"\nmemory = \"3G\"");
    let machine = parse(&text)
        .unwrap()
        .with_memory(MemSize::from_mib(1001))
        .unwrap();
    let shares: Vec<_> = machine.nodes.iter().map(|node| node.memory.mib()).collect();
    assert_eq!(shares, [250, 751]);
    assert_eq!(machine.memory.mib(), 1001);
    assert!(machine.with_cpus(4).is_err());
}

#[test]
fn small_machines_are_refused() {
    let error = Machine::uniform(1, MemSize::from_mib(256)).unwrap_err();
    assert!(
        error.to_string().contains("expected at least 288M"),
        "{error}"
    );
    assert!(Machine::uniform(0, MemSize::from_mib(512)).is_err());
}

#[test]
fn every_machine_of_the_project_is_valid() {
    let project = Project::find().unwrap();
    let names = Machine::names(&project);
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        Machine::read(&name, &project).unwrap();
    }
}

//! Counts the instructions of the frame allocators and of others beside them.

mod arms;
mod callgrind;
mod heap;
mod others;
mod scenario;
mod step;

use percore_pager::frames::{Avl, Bitmap, Buddy, Cached, Live, Slab};

use arms::{Arm, Nothing, Ours};
use others::{BitmapCrate, BuddyCrate, List, OffsetCrate};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn child<A: Arm>(scenario: &str, n: u32, operations: u32) -> Result<(), String> {
    match scenario {
        "pair" => scenario::pair::<A>(n, operations),
        "replace" => scenario::replace::<A>(n, operations),
        "batch" => scenario::batch::<A>(n, operations / 256),
        "pair-2m" => scenario::pair_2m::<A>(operations),
        "owner" => scenario::owner::<A>(operations),
        "worst" => println!("{}", scenario::worst::<A>(operations, n != 0)),
        "blocks" => println!("{}", scenario::whole_blocks::<A>()),
        "bytes" => {
            let (state, all) = scenario::bytes::<A>();
            println!("{state} {all}");
        }
        _ => return Err(format!("no scenario {scenario}")),
    }
    Ok(())
}

fn run_child(arguments: &[String]) -> Result<(), String> {
    let [arm, scenario, n, operations] = arguments else {
        return Err("--child ARM SCENARIO N OPERATIONS".into());
    };
    let number = |text: &String| text.parse().map_err(|_| format!("{text} is no number"));
    let (n, operations) = (number(n)?, number(operations)?);
    let run = match arm.as_str() {
        "nothing" => child::<Nothing>,
        "bitmap" => child::<Ours<Bitmap>>,
        "buddy" => child::<Ours<Buddy>>,
        "avl" => child::<Ours<Avl>>,
        "slab" => child::<Ours<Slab>>,
        "bitmap+cache" => child::<Ours<Cached<Bitmap>>>,
        "live+cache" => child::<Ours<Cached<Live>>>,
        "live" => child::<Ours<Live>>,
        "list" => child::<List>,
        "buddy_system_allocator" => child::<BuddyCrate>,
        "bitmap-allocator" => child::<BitmapCrate>,
        "offset-allocator" => child::<OffsetCrate>,
        _ => return Err(format!("no arm {arm}")),
    };
    run(scenario, n, operations)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--child") {
        run_child(&arguments[1..]).expect("child");
    }
}

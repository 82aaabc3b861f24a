//! RAM of all nodes, taken and given back in random pieces by two clients: nobody ever sees what
//! another has left, and nothing is lost.

use l4_sys::{Fpage, MemRights, PAGE_SIZE, Timeout};
use l4re_rs::Error;
use l4re_rs::client::ipc;
use l4re_rs::client::sigma0_ext::flag;
use test_sigma0::Context;
use test_sigma0::ask::{WINDOW, WINDOW_ORDER};
use test_sigma0::context::{peek, poke};
use test_sigma0::tap::Tap;

use super::Random;

/// Steps, each of which takes or gives a block.
const STEPS: u32 = 1500;
/// Most blocks held at once.
const HELD: usize = 24;
/// What owners write to each of their pages.
const MARK: u64 = 0x6d61_726b_6d61_726b;

/// Places in a page that are marked and looked at.
const SPOTS: [u64; 3] = [0, 0x7f8, PAGE_SIZE - 8];

/// All of it.
pub fn run(t: &mut Tap, c: &mut Context) {
    const CLEAN: &str = "HOSTILE recycled RAM never has old contents";
    const WHOLE: &str = "HOSTILE recycled RAM is all there in the end";
    if !c.is_sigma0_rs() {
        t.skip(CLEAN, "upstream's sigma0");
        t.skip(WHOLE, "upstream's sigma0");
        return;
    }
    let clients = [c.client(), c.client()];
    let nodes = c.a.topology().map_or(1, |s| s.nodes);
    // Bookkeeping takes pages for good; nothing else may.
    let sum = |c: &Context| c.a.statistics().map_or(0, |s| s.free + s.bookkeeping);
    let before = sum(c);
    let mut random = Random(0x243f_6a88_85a3_08d3);
    let mut held = [None::<(usize, u64, u32)>; HELD];
    let window = Fpage::mem(WINDOW, WINDOW_ORDER, MemRights::empty());
    let give = |(who, address, order): (usize, u64, u32)| {
        let block = Fpage::mem(address, order, MemRights::RWX);
        // "Again" says that too much waits to be zeroed.
        (0..1000).any(|_| {
            // SAFETY: the window holds no Rust objects.
            match unsafe { clients[who].release(block) } {
                Ok(()) => true,
                // Each refusal has zeroed a piece.
                Err(Error::Refused(l4_sys::Errno::Again)) => false,
                Err(e) => {
                    l4re_rs::println!("# release: {e:?}");
                    false
                }
            }
        })
    };
    t.each(CLEAN, 0..STEPS, Ok(()), |_| {
        let i = random.below(HELD as u64) as usize;
        if let Some(block) = held[i].take() {
            return if give(block) { Ok(()) } else { Err(block.1) };
        }
        let who = random.below(2) as usize;
        let order = 12 + random.below(8) as u32;
        let node = random.below(u64::from(nodes)) as u32;
        // SAFETY: as above.
        let got = unsafe { clients[who].node_ram(node, order, flag::NEAR, window) };
        let Ok((page, _)) = got else {
            return Err(u64::from(order));
        };
        let start = page.address();
        for page in (start..start + (1 << order)).step_by(PAGE_SIZE as usize) {
            for spot in SPOTS {
                if peek(page + spot) == MARK {
                    return Err(page);
                }
                poke(page + spot, MARK);
            }
        }
        held[i] = Some((who, start, order));
        Ok(())
    });
    let all = held.into_iter().flatten().all(give);
    let mut after = sum(c);
    // Each look ends sigma0's wait for its next turn of zeroing, so look seldom.
    for _ in 0..100 {
        if after == before {
            break;
        }
        ipc::sleep(Timeout::from_us(500_000));
        after = sum(c);
    }
    t.result(
        WHOLE,
        all && after == before,
        format_args!("given back {all}, {after:#x}, before {before:#x}"),
    );
    clients.into_iter().for_each(|s| c.drop_slot(s));
}

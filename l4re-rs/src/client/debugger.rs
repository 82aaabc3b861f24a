//! Names for the kernel debugger. All of it is for people: failures are not reported.

use l4_sys::item::SendItem;
use l4_sys::ops::debugger;
use l4_sys::{CapRights, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::msg::Writer;

/// Longest name that is passed on.
const MAX_NAME: usize = 64;

impl Cap<kind::Debugger> {
    /// Gives the object behind `cap` a name.
    pub fn name<K>(self, cap: Cap<K>, name: &str) {
        let w = Writer::new(UtcbRef::current()).u64(debugger::NAME_SET);
        self.invoke_for(cap, text(w, name));
    }

    /// Tells where the image `name` of `task` is loaded.
    pub fn image(self, task: Cap<kind::Task>, base: u64, name: &str) {
        let w = Writer::new(UtcbRef::current())
            .u64(debugger::ADD_IMAGE_INFO)
            .u64(base);
        self.invoke_for(task, text(w, name));
    }

    fn invoke_for<K>(self, cap: Cap<K>, w: Writer) {
        if let Ok(tag) = w
            .item(SendItem::plain(cap.fpage(CapRights::RWS)))
            .finish(proto::DEBUGGER)
        {
            let _ = ipc::call(self, tag);
        }
    }
}

fn text(w: Writer, name: &str) -> Writer {
    let bytes = name.as_bytes();
    w.raw(bytes.get(..MAX_NAME).unwrap_or(bytes)).u8(0)
}

//! Touching the program itself, so that nothing of it faults later.

/// Reads every page of the program's code and constants and writes every page of its data, so that
/// all of them are mapped. Writing back what was read changes nothing.
#[cfg(l4re)]
pub fn touch_program() {
    unsafe extern "C" {
        static percore_image_start: u8;
        static percore_data_start: u8;
        static percore_image_end: u8;
    }
    let page = l4_sys::PAGE_SIZE;
    let start = &raw const percore_image_start as u64;
    let data = &raw const percore_data_start as u64;
    let end = &raw const percore_image_end as u64;
    for at in (start..end).step_by(page as usize) {
        let place = l4_sys::mem::at(at);
        // SAFETY: inside the program's image, which is readable, and writable from its data on. There
        // is one thread, which keeps nothing of it in registers over a volatile access.
        unsafe {
            let byte = place.read_volatile();
            if at >= data {
                place.write_volatile(byte);
            }
        }
    }
}

//! Names of C++ functions as people write them, and patterns for them.
//!
//! A kernel's symbols are mangled; which of them is meant is said by a pattern of the name that a
//! debugger shows, with `*` for any text. So a pattern survives changes of the arguments, and the
//! reader of a file sees what is counted.

use cpp_demangle::Symbol;

/// The name that a debugger shows for `symbol`; the symbol itself when it is not mangled.
pub fn readable(symbol: &str) -> String {
    Symbol::new(symbol)
        .ok()
        .and_then(|s| s.demangle().ok())
        .unwrap_or_else(|| symbol.to_owned())
}

/// Whether `name` fits `pattern`, in which every `*` stands for any text, also none.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{fits, readable};
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_a_debugger() {
        assert_eq!(readable("_ZN3Cpu13calibrate_tscEv"), "Cpu::calibrate_tsc()");
        assert_eq!(readable("call_ap_bootstrap"), "call_ap_bootstrap");
        let flush = "_ZN3cxx4Bits9_CallableI10RescheduleJ10Cpu_numberEE6invokeIZN2Mu14Auto_tlb_\
                     flushI9Mem_spaceE12do_flush_cpuEvEUlS3_E_EES2_PvOS3_";
        assert!(
            fits("*_flush<Mem_space>::do_flush_cpu()*", &readable(flush)),
            "{}",
            readable(flush)
        );
    }

    #[test]
    fn patterns() {
        assert!(fits("A::b(*)", "A::b(int, char)"));
        assert!(fits("A::b(*", "A::b()"));
        assert!(!fits("A::b(*)", "X::A::b()"));
        assert!(!fits("A::b", "A::b()"));
        assert!(fits("*", "") && fits("", "") && !fits("", "x"));
        assert!(fits("a*b*c", "axxbyybc") && !fits("a*b*c", "acb"));
        // One text cannot be both the start and the end.
        assert!(!fits("ab*ba", "aba"));
    }

    proptest! {
        #[test]
        fn a_name_with_parts_replaced_fits(a in ".{0,9}", b in ".{0,9}", c in ".{0,9}", x in ".{0,9}") {
            let clean = |t: &str| t.replace('*', "");
            let (a, b, c) = (clean(&a), clean(&b), clean(&c));
            let fit = fits(&format!("{a}*{b}*{c}"), &format!("{a}{x}{b}{x}{c}"));
            prop_assert!(fit);
        }

        #[test]
        fn any_symbol_has_a_name(symbol in ".{0,40}") {
            let _ = readable(&symbol);
        }
    }
}

//! Where the configured L4Re and Fiasco build trees are.

# Included by server/Makefile of a package whose program is made by cargo.
#
# Set before: PKGDIR, L4DIR, and CARGO_PROGRAM, the name of both the crate and its program.
# The user may set CARGO (default: cargo in PATH).
#
# L4Re's prog.mk installs the program; it links nothing, because TARGET stays empty and only
# INSTALL_TARGET is set. Cargo alone knows whether anything changed, so it runs every time; its
# result is copied only when it differs, and nothing is installed again otherwise.
# Of L4Re's modes, assets is the one that asks for no compiler library of the tree.

SYSTEMS        = amd64-l4f
MODE           = assets
TARGET         =
INSTALL_TARGET = $(CARGO_PROGRAM)
CARGO         ?= cargo

include $(L4DIR)/mk/prog.mk

ifneq ($(SYSTEM),)

# The repository that this package is a part of.
CARGO_ROOT   := $(realpath $(PKGDIR_ABS)/../..)
# In the build tree, beside the objects of other packages.
CARGO_DIR    := $(CURDIR)/cargo
CARGO_RESULT := $(CARGO_DIR)/x86_64-unknown-linux-gnu/release/$(CARGO_PROGRAM)
# Quiet as other packages are: cargo's words only with V=1 or when it fails.
CARGO_LOG    := $(CURDIR)/cargo.log
CARGO_OUTPUT  = $(if $(VERBOSE),> $(CARGO_LOG) 2>&1 || { cat $(CARGO_LOG) >&2; exit 1; })

# Flags for the user's host programs would replace those of conf/l4re.toml. The plus sign lets
# cargo take part in make's -j.
$(CARGO_PROGRAM): FORCE
	@command -v $(CARGO) >/dev/null || { \
	  echo "$(CARGO_PROGRAM): '$(CARGO)' not found; install Rust (rustup) or call make with CARGO=/path/to/cargo" >&2; \
	  exit 1; }
	+$(VERBOSE)cd $(CARGO_ROOT) && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS \
	  $(CARGO) build --locked --release --config conf/l4re.toml \
	  --target-dir $(CARGO_DIR) -p $(CARGO_PROGRAM) $(CARGO_OUTPUT)
	$(VERBOSE)cmp -s $(CARGO_RESULT) $@ || \
	  { cp $(CARGO_RESULT) $@ && $(BUILT_MESSAGE); }

clean cleanall::
	$(VERBOSE)$(RM) -r $(CARGO_DIR) $(CARGO_LOG) $(CARGO_PROGRAM)

endif

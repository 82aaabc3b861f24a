# Included by each Makefile of the packages, behind PKGDIR: where the L4Re source tree is.
#
# The nearest directory above that is one, so a clone in its pkg/ just works. From a clone anywhere else, L4DIR and O
# are given on the command line.
L4DIR ?= $(patsubst %/mk/subdir.mk,%,$(firstword $(wildcard \
  $(addprefix $(PKGDIR)/,$(addsuffix /mk/subdir.mk,../.. ../../.. ../../../.. ../../../../..)))))

ifeq ($(wildcard $(L4DIR)/mk/subdir.mk),)
  $(error No L4Re source tree in '$(L4DIR)'; call make with L4DIR=/path/to/l4 and O=/path/to/build)
endif

/*
 * One entry of the table of values that bindgen cannot read from the headers.
 */
#pragma once

struct l4sys_proof_value
{
  char const *name;
  unsigned long long value;
};

#define L4SYS_PROOF_VALUE(expression) \
  { #expression, (unsigned long long)(expression) }

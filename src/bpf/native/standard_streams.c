/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

/*
 * libbpf.a reaches for stderr in a way that only an executable may. build.ts
 * renames the symbol in its copy of the archive, and it means this one.
 */
FILE *cil_stderr;

__attribute__((constructor)) static void set_standard_streams(void)
{
	cil_stderr = stderr;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

/*
 * Stands in for the one member of libelf.a that cannot live in a shared
 * object, because it was compiled for an executable's thread-local storage.
 * Same three functions, without the translated texts.
 */
static __thread int last_error;

void __libelf_seterrno(int value)
{
	last_error = value;
}

int elf_errno(void)
{
	int error = last_error;

	last_error = 0;
	return error;
}

const char *elf_errmsg(int error)
{
	static __thread char text[32];

	if (error == 0 && last_error == 0)
		return NULL;
	snprintf(text, sizeof(text), "libelf error %d",
		 error > 0 ? error : last_error);
	return text;
}

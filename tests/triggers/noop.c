/* SPDX-License-Identifier: GPL-2.0-only */
/* Does nothing: what the exec triggers execute. */
#include "trigger.h"

int main(void)
{
	return 0;
}

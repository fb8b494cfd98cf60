/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The planted leaks of a module and when they happen, as parameters of its own. */
#ifndef LAB_SLIP_H
#define LAB_SLIP_H

#include "lab.h"

static uint leaks;
module_param(leaks, uint, 0444);
MODULE_PARM_DESC(leaks, "bit set of the bugs that are in the module; 0: none");

static uint rate = 1000;
module_param(rate, uint, 0444);
MODULE_PARM_DESC(rate, "how often a bug strikes when its code runs, per mille");

static uint after;
module_param(after, uint, 0444);
MODULE_PARM_DESC(after, "seconds after loading before the first bug strikes");

static uint hidden = 16;
module_param(hidden, uint, 0444);
MODULE_PARM_DESC(hidden, "how many objects at most are kept where the scan does not see them");

static uint linger = 30;
module_param(linger, uint, 0444);
MODULE_PARM_DESC(linger, "seconds for which a hidden object is kept at most");

static unsigned long slip_start;

/* Reports whether bug n strikes now. */
static bool slip(unsigned int n)
{
	if (!slip_start)
		slip_start = jiffies;
	return leaks & BIT(n) && time_after_eq(jiffies, slip_start + after * HZ) &&
	       lab_chance(rate);
}

#endif

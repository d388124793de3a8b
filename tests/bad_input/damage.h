/* Damaged files, made from a sound one. What can be damaged is read from the file itself: every array, every
 * attribute, its bytes and its trailer; so a file that gains an array gains its cases.
 *
 * Damage to content comes with a digest that is right, as somebody who means harm would make it. */
#ifndef HEED_TESTS_DAMAGE_H
#define HEED_TESTS_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Makes every damaged version of the sound file at `good`, one after the other, at `bad`, and calls try for each; what
 * tells object and damage, such as "/train: is missing" or "/ step: has another type". try may take the
 * damaged file away. Returns how many there were. */
size_t damage_each(const char *good, const char *bad, void (*try)(void *context, const char *what), void *context);

#endif

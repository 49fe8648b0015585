/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_template.h - whether a sandbox's VM goes on from a template or boots, and when one is
 * made
 *
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_SANDBOX_TEMPLATE_H
#define ONGGI_SHIM_SANDBOX_TEMPLATE_H

#include "hypervisor/template.h"
#include "shim/sandbox.h"

/*
 * The template for @machine, or NULL: boot. Sets s->wants_template if one should be made. A damaged
 * one is removed. Errors are logged; none of them stops a sandbox.
 */
struct template *sandbox_template_find(struct sandbox *s, const struct vm_config *machine);

/* The guest is there: have the template made that was missing or old. */
void sandbox_template_make(struct sandbox *s);

/* The VM that was to go on from @name failed before its agent answered: do not use that template
 * again. */
void sandbox_template_failed(struct sandbox *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* spec_template.h - a config.json to start from */
#ifndef ONGGI_SHIM_RUNTIME_SPEC_TEMPLATE_H
#define ONGGI_SHIM_RUNTIME_SPEC_TEMPLATE_H

/* Valid for oci_spec_parse: a shell on a terminal, few capabilities, namespaces of its own. */
extern const char spec_template[];

#endif

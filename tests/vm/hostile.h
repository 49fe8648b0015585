/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.h - what the parts of the hostile agent (hostile_agent.c) share; tests only */
#ifndef ONGGI_TESTS_VM_HOSTILE_H
#define ONGGI_TESTS_VM_HOSTILE_H

/* A line of the report that the process which brought the plan writes to its stdout. */
void hostile_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Mount the share as a guest's root, and try what a host must withstand; tells of each attempt. */
void hostile_share(void);

#endif

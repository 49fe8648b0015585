/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.h - kernel modules that the initramfs brings for a distribution's kernel
 *
 * Shape:    files "NN-name.ko" in one folder, loaded in the order of their names, dependencies
 *           first.
 * Process:  the agent, once at start, before anything that needs a device.
 * Source:   finit_module(2).
 */
#ifndef ONGGI_AGENT_MODULE_H
#define ONGGI_AGENT_MODULE_H

#include "common/err.h"

#define MODULE_FOLDER "/modules"
#define MODULE_FILES_MAX 512u

/*
 * Load every module of @folder and remove its file (the initramfs is memory).
 * A module that the kernel refuses is logged and skipped: whether it matters shows when its device
 * is missing.
 *
 * Returns how many were loaded (0 without the folder), or -E2BIG, or a negative errno of reading
 * the folder.
 */
int module_load_folder(const char *folder, struct err *err);

#endif

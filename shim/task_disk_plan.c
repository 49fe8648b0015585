/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_disk_plan.h"

#include <string.h>
#include <sys/mount.h>

#include "common/oci.h"

/* MS_* that the guest can apply. */
#define FLAGS_KNOWN \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME)
#define NO_LAYER TASK_DISKS_MAX
/* Of an erofs: a further file with data of it. */
#define DEVICE_OPTION "device="
/* Instructions of containerd's to whoever mounts, integrity checks among them. */
#define CONTAINERD_OPTION "X-containerd."

/* ---- types ---- */

enum place { HOST, DISK, READONLY_DISK, UNKNOWN_TO_GUEST, OVERLAY_OF_DISKS, MOUNT_MANAGER };

/* All others are the host's to mount: overlay, bind, and what is no container's own (btrfs, zfs). */
static const struct {
	const char *type;
	enum place place;
} types[] = {
	{ "ext4", DISK },
	{ "erofs", READONLY_DISK },
	{ "format/overlay", OVERLAY_OF_DISKS },
	{ "format/mkdir/overlay", OVERLAY_OF_DISKS },
	{ "ext2", UNKNOWN_TO_GUEST },
	{ "ext3", UNKNOWN_TO_GUEST },
	{ "f2fs", UNKNOWN_TO_GUEST },
	{ "iso9660", UNKNOWN_TO_GUEST },
	{ "squashfs", UNKNOWN_TO_GUEST },
	{ "vfat", UNKNOWN_TO_GUEST },
	{ "xfs", UNKNOWN_TO_GUEST },
	{ "loop", MOUNT_MANAGER },
};

static enum place place_of(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!strcmp(type, types[i].type))
			return types[i].place;
	}
	/* "mkfs/ext4" and the like: instructions, not file systems. */
	return strchr(type, '/') ? MOUNT_MANAGER : HOST;
}

static bool is_disk(enum place place)
{
	return place == DISK || place == READONLY_DISK;
}

/* ---- one disk ---- */

void task_disk_plan_finish(struct task_disk_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		free(plan->list[i].options);
	plan->n = 0;
}

static bool is_device(const struct task_mount *mount, const char *option)
{
	return place_of(mount->type) == READONLY_DISK && !strncmp(option, DEVICE_OPTION, strlen(DEVICE_OPTION));
}

/* "loop" is how a host would do what is done here. */
static int parse_options(const struct task_mount *mount, struct oci_mount *parsed, struct err *err)
{
	_cleanup_free_ char **options = calloc(mount->n_options + 1, sizeof(*options));
	size_t n = 0;
	int r;

	if (!options)
		return -ENOMEM;
	for (size_t i = 0; i < mount->n_options; i++) {
		char *option = mount->options[i];

		if (!strncmp(option, CONTAINERD_OPTION, strlen(CONTAINERD_OPTION)))
			return err_set(err, -EOPNOTSUPP,
				       "rootfs: option '%.200s' of the mount of '%s' is for containerd's mount manager to do",
				       option, mount->source);
		if (strcmp(option, "loop") != 0 && !is_device(mount, option))
			options[n++] = option;
	}
	parsed->options = options;
	r = oci_mount_parse_options(parsed, "rootfs", err);
	parsed->options = NULL;
	if (r >= 0 && ((parsed->flags & ~(unsigned long)FLAGS_KNOWN) || parsed->n_propagation ||
		       parsed->rec_attr_set || parsed->rec_attr_clr || parsed->copy_up))
		r = err_set(err, -EOPNOTSUPP,
			    "rootfs: an option of the mount of '%s' means nothing for a disk of the guest",
			    mount->source);
	return r;
}

static int add(struct task_disk_plan *plan, const struct task_disk_source *source, const char *of_type,
	       struct err *err)
{
	if (source->source[0] != '/')
		return err_set(err, -EINVAL, "rootfs: '%s' of type '%s' is no absolute path", source->source, of_type);
	if (plan->n == TASK_DISKS_MAX)
		return err_set(err, -E2BIG, "rootfs: more disks than the %u that a machine takes", TASK_DISKS_MAX);
	plan->list[plan->n++] = *source;
	return 0;
}

/* In their order: it is that of the file system's own table. */
static int plan_devices(const struct task_mount *mount, struct task_disk_plan *plan, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < mount->n_options && r >= 0; i++) {
		const struct task_disk_source device = {
			.type = "",
			.source = mount->options[i] + strlen(DEVICE_OPTION),
			.flags = MS_RDONLY,
		};

		if (is_device(mount, mount->options[i]))
			r = add(plan, &device, mount->type, err);
	}
	return r;
}

static int plan_disk(const struct task_mount *mount, bool readonly, struct task_disk_plan *plan, struct err *err)
{
	struct oci_mount parsed = { 0 };
	struct task_disk_source disk;
	int r;

	r = parse_options(mount, &parsed, err);
	if (r >= 0 && !parsed.data && !(parsed.data = strdup("")))
		r = -ENOMEM;
	if (r < 0) {
		free(parsed.data);
		return r;
	}
	disk = (struct task_disk_source){
		.type = mount->type,
		.source = mount->source,
		.options = parsed.data,
		.flags = parsed.flags |
			 (readonly || place_of(mount->type) == READONLY_DISK ? MS_RDONLY : 0),
	};
	r = add(plan, &disk, mount->type, err);
	if (r < 0) {
		free(parsed.data);
		return r;
	}
	return plan_devices(mount, plan, err);
}

/* ---- layers ---- */

struct layers {
	size_t n_mounts; /* before the overlay */
	size_t lower[TASK_DISKS_MAX], n_lower; /* the topmost first */
	size_t upper, work; /* NO_LAYER: none */
};

static int take_lower(struct layers *l, unsigned int first, unsigned int last)
{
	unsigned int at = first;

	if (first >= l->n_mounts || last >= l->n_mounts)
		return -EINVAL;
	for (;; at = first < last ? at + 1 : at - 1) {
		if (l->n_lower == TASK_DISKS_MAX)
			return -E2BIG;
		l->lower[l->n_lower++] = at;
		if (at == last)
			return 0;
	}
}

/* "{{ overlay 0 2 }}:{{ mount 4 }}" */
static int parse_lower(struct layers *l, const char *text)
{
	unsigned int first, last;
	int end, r;

	for (;; text++) {
		end = 0;
		if (sscanf(text, "{{ mount %3u }}%n", &first, &end) == 1 && end > 0)
			last = first;
		else if (sscanf(text, "{{ overlay %3u %3u }}%n", &first, &last, &end) != 2 || end == 0)
			return -EINVAL;
		r = take_lower(l, first, last);
		if (r < 0)
			return r;
		text += end;
		if (*text != ':')
			return *text ? -EINVAL : 0;
	}
}

/* "{{ mount 0 }}/upper": the place of the mount, and what follows it. */
static const char *parse_mount(const struct layers *l, const char *text, size_t *ret)
{
	unsigned int at;
	int end = 0;

	if (sscanf(text, "{{ mount %3u }}%n", &at, &end) != 1 || end == 0 || at >= l->n_mounts)
		return NULL;
	*ret = at;
	return text + end;
}

static int parse_upper(struct layers *l, const char *text)
{
	const char *rest = parse_mount(l, text, &l->upper);

	return rest && !strcmp(rest, "/upper") ? 0 : -EINVAL;
}

static int parse_work(struct layers *l, const char *text)
{
	const char *rest = parse_mount(l, text, &l->work);

	return rest && !strcmp(rest, "/work") ? 0 : -EINVAL;
}

/* The guest makes both folders anyway. */
static int parse_mkdir(struct layers *l, const char *text)
{
	static const char *const names[] = { "/upper", "/work" };
	size_t at;
	const char *rest = parse_mount(l, text, &at);

	for (size_t i = 0; rest && i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i]);

		if (!strncmp(rest, names[i], len) && (!rest[len] || rest[len] == ':'))
			return 0;
	}
	return -EINVAL;
}

static const struct {
	const char *prefix;
	int (*parse)(struct layers *l, const char *text);
} layer_options[] = {
	{ "lowerdir=", parse_lower },
	{ "upperdir=", parse_upper },
	{ "workdir=", parse_work },
	{ "X-containerd.mkdir.path=", parse_mkdir },
};

static int parse_layer_option(struct layers *l, const char *option, struct err *err)
{
	int r = -EOPNOTSUPP;

	for (size_t i = 0; i < ARRAY_SIZE(layer_options); i++) {
		size_t len = strlen(layer_options[i].prefix);

		if (!strncmp(option, layer_options[i].prefix, len))
			r = layer_options[i].parse(l, option + len);
	}
	return r < 0 ? err_set(err, -EOPNOTSUPP,
			       "rootfs: option '%.200s' of an overlay of disks is not understood", option)
		     : 0;
}

/* Each disk has one place. */
static int check_layers(const struct layers *l, struct err *err)
{
	bool used[TASK_DISKS_MAX] = { false };
	size_t n = 0;

	if (l->upper != l->work)
		return err_set(err, -EOPNOTSUPP, "rootfs: upper and work folder of an overlay must be on one disk");
	if (l->upper != NO_LAYER)
		used[l->upper] = ++n;
	for (size_t i = 0; i < l->n_lower; i++) {
		if (used[l->lower[i]])
			return err_set(err, -EOPNOTSUPP, "rootfs: an overlay has mount %zu twice", l->lower[i]);
		used[l->lower[i]] = ++n;
	}
	if (!l->n_lower || n != l->n_mounts)
		return err_set(err, -EOPNOTSUPP, "rootfs: an overlay has %zu of %zu mounts as its layers", n,
			       l->n_mounts);
	return 0;
}

/* @overlay stands behind the @n mounts it is made of. */
static int plan_layers(const struct task_mount *mounts, size_t n, const struct task_mount *overlay,
		       struct task_disk_plan *plan, struct err *err)
{
	struct layers l = { .n_mounts = n, .upper = NO_LAYER, .work = NO_LAYER };
	int r = 0;

	if (n > TASK_DISKS_MAX)
		return err_set(err, -E2BIG, "rootfs: %zu disks are more than the %u that a machine takes", n,
			       TASK_DISKS_MAX);
	for (size_t i = 0; i < overlay->n_options && r >= 0; i++)
		r = parse_layer_option(&l, overlay->options[i], err);
	if (r >= 0)
		r = check_layers(&l, err);
	if (r < 0)
		return r;
	if (l.upper != NO_LAYER) {
		r = plan_disk(&mounts[l.upper], false, plan, err);
		if (r >= 0 && (plan->list[0].flags & MS_RDONLY))
			return err_set(err, -EOPNOTSUPP, "rootfs: '%s' is to be written, but read-only",
				       mounts[l.upper].source);
	}
	for (size_t i = 0; i < l.n_lower && r >= 0; i++)
		r = plan_disk(&mounts[l.lower[i]], true, plan, err);
	return r;
}

/* ---- all ---- */

static int plan_all(const struct task_mount *mounts, size_t n, struct task_disk_plan *plan, struct err *err)
{
	size_t n_disks = 0, n_overlays = 0;

	for (size_t i = 0; i < n; i++) {
		enum place place = place_of(mounts[i].type);

		if (place == UNKNOWN_TO_GUEST)
			return err_set(err, -EOPNOTSUPP,
				       "rootfs: '%s' is of type '%s', which the guest's kernel does not know: use ext4 or erofs",
				       mounts[i].source, mounts[i].type);
		if (place == MOUNT_MANAGER)
			return err_set(err, -EOPNOTSUPP,
				       "rootfs: '%s' of type '%s' is for containerd's mount manager to do",
				       mounts[i].source, mounts[i].type);
		n_disks += is_disk(place);
		n_overlays += place == OVERLAY_OF_DISKS;
	}
	if (!n_disks && !n_overlays)
		return 0;
	if (n == 1 && n_disks)
		return plan_disk(mounts, false, plan, err);
	if (n_overlays == 1 && n_disks == n - 1 && place_of(mounts[n - 1].type) == OVERLAY_OF_DISKS)
		return plan_layers(mounts, n - 1, &mounts[n - 1], plan, err);
	return err_set(err, -EOPNOTSUPP,
		       "rootfs: a disk must be the only mount, or a layer of an overlay that is the last one");
}

int task_disk_plan(const struct task_mount *mounts, size_t n, struct task_disk_plan *ret, struct err *err)
{
	struct task_disk_plan plan = { 0 };
	int r = plan_all(mounts, n, &plan, err);

	if (r < 0) {
		task_disk_plan_finish(&plan);
		return r;
	}
	*ret = plan;
	return plan.n > 0;
}

/*
 * libnfs as a client of the conformance tests: one call per line of standard input, its result as one line of standard
 * output, by the raw interface of libnfs, so that every argument and result is encoded and decoded by libnfs alone.
 *
 *   libnfs_driver ADDRESS NFS_PORT MOUNT_PORT
 *
 * A line is a procedure's name and its arguments in the order of RFC 1813, separated by spaces: numbers in decimal,
 * bytes in hexadecimal ("-" for none), attributes to set as six words (mode, uid, gid, size, atime, mtime; "-" leaves
 * one, "now" is the server's time, else SECONDS.NANOSECONDS). "AUTH uid gid groups" says who calls from then on.
 * The answer is "status=N" and what came with it as KEY=VALUE, or "rpc=..." when there was no result at all.
 *
 * Serves tests: whatever cannot go on ends it with a message.
 */

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>
#include <nfsc/libnfs-zdr.h>
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

/* Longest wait for one answer. */
#define PATIENCE_MS 60000

static int answered;
static int rpc_status;

static void die(const char *what, const char *detail)
{
	fprintf(stderr, "libnfs_driver: %s %s\n", what, detail ? detail : "");
	exit(1);
}

/* Arguments. */

static char *word(void)
{
	char *next = strtok(NULL, " \n");
	if (!next)
		die("a line is too short", "");
	return next;
}

static uint64_t number(void)
{
	return strtoull(word(), NULL, 10);
}

static int digit(char in)
{
	if (in >= '0' && in <= '9')
		return in - '0';
	if (in >= 'a' && in <= 'f')
		return in - 'a' + 10;
	die("no hexadecimal digit", "");
	return 0;
}

/*
 * Bytes; one more, zero, stands behind them, so that they serve as a C string. Never freed: a driver lives for one
 * test.
 */
static char *bytes(uint32_t *len)
{
	char *hex = word();
	uint32_t count = strcmp(hex, "-") ? strlen(hex) / 2 : 0;
	char *out = calloc(count + 1, 1);
	for (uint32_t i = 0; i < count; i++)
		out[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
	*len = count;
	return out;
}

static char *text(void)
{
	uint32_t len;
	return bytes(&len);
}

static void fixed(char *out, uint32_t size)
{
	uint32_t len;
	char *in = bytes(&len);
	if (len != size)
		die("a verifier has 8 bytes", "");
	memcpy(out, in, size);
}

static nfs_fh3 handle(void)
{
	nfs_fh3 fh;
	fh.data.data_val = bytes(&fh.data.data_len);
	return fh;
}

static diropargs3 place(void)
{
	diropargs3 args;
	args.dir = handle();
	args.name = text();
	return args;
}

static nfstime3 time_of(const char *in)
{
	nfstime3 time;
	if (sscanf(in, "%u.%u", &time.seconds, &time.nseconds) != 2)
		die("no time:", in);
	return time;
}

static sattr3 attributes(void)
{
	sattr3 set;
	char *in;
	memset(&set, 0, sizeof set);
	if (strcmp(in = word(), "-"))
		set.mode.set_it = 1, set.mode.set_mode3_u.mode = strtoul(in, NULL, 10);
	if (strcmp(in = word(), "-"))
		set.uid.set_it = 1, set.uid.set_uid3_u.uid = strtoul(in, NULL, 10);
	if (strcmp(in = word(), "-"))
		set.gid.set_it = 1, set.gid.set_gid3_u.gid = strtoul(in, NULL, 10);
	if (strcmp(in = word(), "-"))
		set.size.set_it = 1, set.size.set_size3_u.size = strtoull(in, NULL, 10);
	if (!strcmp(in = word(), "now"))
		set.atime.set_it = SET_TO_SERVER_TIME;
	else if (strcmp(in, "-"))
		set.atime.set_it = SET_TO_CLIENT_TIME, set.atime.set_atime_u.atime = time_of(in);
	if (!strcmp(in = word(), "now"))
		set.mtime.set_it = SET_TO_SERVER_TIME;
	else if (strcmp(in, "-"))
		set.mtime.set_it = SET_TO_CLIENT_TIME, set.mtime.set_mtime_u.mtime = time_of(in);
	return set;
}

/* Results. */

static void print_hex(const char *key, const void *data, uint32_t len)
{
	const unsigned char *in = data;
	printf(" %s=", key);
	if (!len)
		putchar('-');
	for (uint32_t i = 0; i < len; i++)
		printf("%02x", in[i]);
}

static void print_time(nfstime3 time)
{
	printf(",%u.%u", time.seconds, time.nseconds);
}

static void print_attributes(const char *key, const fattr3 *a)
{
	printf(" %s=%u,%u,%u,%u,%u,%llu,%llu,%u.%u,%llu,%llu", key, a->type, a->mode, a->nlink, a->uid, a->gid,
	       (unsigned long long)a->size, (unsigned long long)a->used, a->rdev.specdata1, a->rdev.specdata2,
	       (unsigned long long)a->fsid, (unsigned long long)a->fileid);
	print_time(a->atime);
	print_time(a->mtime);
	print_time(a->ctime);
}

static void print_post(const char *key, const post_op_attr *post)
{
	if (post->attributes_follow)
		print_attributes(key, &post->post_op_attr_u.attributes);
}

static void print_wcc(const char *before, const char *after, const wcc_data *wcc)
{
	if (wcc->before.attributes_follow) {
		const wcc_attr *attr = &wcc->before.pre_op_attr_u.attributes;
		printf(" %s=%llu", before, (unsigned long long)attr->size);
		print_time(attr->mtime);
		print_time(attr->ctime);
	}
	print_post(after, &wcc->after);
}

static void print_handle(const post_op_fh3 *obj)
{
	if (obj->handle_follows)
		print_hex("handle", obj->post_op_fh3_u.handle.data.data_val, obj->post_op_fh3_u.handle.data.data_len);
}

static void done(struct rpc_context *rpc, int status, void *data, void *print)
{
	(void)rpc;
	answered = 1;
	rpc_status = status;
	if (status != RPC_STATUS_SUCCESS)
		printf("rpc=%s", status == RPC_STATUS_ERROR && data ? (const char *)data : "no answer");
	else if (print)
		((void (*)(void *))print)(data);
}

/*
 * A printer for each procedure. `ok` and `fail` are what came with success and with an error.
 */
#define RESULT(procedure, on_success, on_error)                                                                        \
	static void print_##procedure(void *data)                                                                      \
	{                                                                                                              \
		procedure##3res *res = data;                                                                           \
		procedure##3resok *ok = &res->procedure##3res_u .resok;                                                 \
		printf("status=%u", res->status);                                                                      \
		if (res->status == NFS3_OK) {                                                                          \
			on_success;                                                                                    \
		} else {                                                                                               \
			procedure##3resfail *fail = &res->procedure##3res_u .resfail;                                   \
			on_error;                                                                                      \
		}                                                                                                      \
		(void)ok;                                                                                              \
	}
#define OBJECT_FAILED print_post("attributes", &fail->obj_attributes)
#define DIR_FAILED print_post("attributes", &fail->dir_attributes)
#define FILE_FAILED print_post("attributes", &fail->file_attributes)
#define WCC_FAILED(field) print_wcc("before", "after", &fail->field)
#define MADE                                                                                                           \
	print_handle(&ok->obj);                                                                                        \
	print_post("attributes", &ok->obj_attributes);                                                                 \
	print_wcc("before", "after", &ok->dir_wcc)
#define NUMBERS(...) print_numbers((uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void print_numbers(const uint64_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s%llu", i ? "," : " numbers=", (unsigned long long)numbers[i]);
}

static void print_GETATTR(void *data)
{
	GETATTR3res *res = data;
	printf("status=%u", res->status);
	if (res->status == NFS3_OK)
		print_attributes("attributes", &res->GETATTR3res_u.resok.obj_attributes);
}

RESULT(SETATTR, print_wcc("before", "after", &ok->obj_wcc), WCC_FAILED(obj_wcc))
RESULT(LOOKUP, print_hex("handle", ok->object.data.data_val, ok->object.data.data_len);
       print_post("attributes", &ok->obj_attributes);
       print_post("dir", &ok->dir_attributes), print_post("dir", &fail->dir_attributes))
RESULT(ACCESS, print_post("attributes", &ok->obj_attributes); NUMBERS(ok->access), OBJECT_FAILED)
RESULT(READLINK, print_post("attributes", &ok->symlink_attributes); print_hex("data", ok->data, strlen(ok->data)),
       print_post("attributes", &fail->symlink_attributes))
RESULT(READ, print_post("attributes", &ok->file_attributes); NUMBERS(ok->count, ok->eof);
       print_hex("data", ok->data.data_val, ok->data.data_len), FILE_FAILED)
RESULT(WRITE, print_wcc("before", "after", &ok->file_wcc); NUMBERS(ok->count, ok->committed);
       print_hex("verifier", ok->verf, sizeof ok->verf), WCC_FAILED(file_wcc))
RESULT(CREATE, MADE, WCC_FAILED(dir_wcc))
RESULT(MKDIR, MADE, WCC_FAILED(dir_wcc))
RESULT(SYMLINK, MADE, WCC_FAILED(dir_wcc))
RESULT(MKNOD, MADE, WCC_FAILED(dir_wcc))
RESULT(REMOVE, print_wcc("before", "after", &ok->dir_wcc), WCC_FAILED(dir_wcc))
RESULT(RMDIR, print_wcc("before", "after", &ok->dir_wcc), WCC_FAILED(dir_wcc))
RESULT(RENAME, print_wcc("before", "after", &ok->fromdir_wcc);
       print_wcc("to_before", "to_after", &ok->todir_wcc), WCC_FAILED(fromdir_wcc);
       print_wcc("to_before", "to_after", &fail->todir_wcc))
RESULT(LINK, print_post("attributes", &ok->file_attributes);
       print_wcc("before", "after", &ok->linkdir_wcc), FILE_FAILED;
       WCC_FAILED(linkdir_wcc))
RESULT(FSSTAT, print_post("attributes", &ok->obj_attributes);
       NUMBERS(ok->tbytes, ok->fbytes, ok->abytes, ok->tfiles, ok->ffiles, ok->afiles, ok->invarsec), OBJECT_FAILED)
RESULT(FSINFO, print_post("attributes", &ok->obj_attributes);
       NUMBERS(ok->rtmax, ok->rtpref, ok->rtmult, ok->wtmax, ok->wtpref, ok->wtmult, ok->dtpref, ok->maxfilesize,
	       ok->time_delta.seconds, ok->time_delta.nseconds, ok->properties), OBJECT_FAILED)
RESULT(PATHCONF, print_post("attributes", &ok->obj_attributes);
       NUMBERS(ok->linkmax, ok->name_max, ok->no_trunc, ok->chown_restricted, ok->case_insensitive,
	       ok->case_preserving), OBJECT_FAILED)
RESULT(COMMIT, print_wcc("before", "after", &ok->file_wcc); print_hex("verifier", ok->verf, sizeof ok->verf),
       WCC_FAILED(file_wcc))

static void print_entry(uint64_t fileid, const char *name, uint64_t cookie)
{
	printf(" fileid=%llu cookie=%llu", (unsigned long long)fileid, (unsigned long long)cookie);
	print_hex("name", name, strlen(name));
}

RESULT(READDIR, print_post("attributes", &ok->dir_attributes);
       print_hex("verifier", ok->cookieverf, sizeof ok->cookieverf); NUMBERS(ok->reply.eof);
       for (entry3 *entry = ok->reply.entries; entry; entry = entry->nextentry)
	       print_entry(entry->fileid, entry->name, entry->cookie), DIR_FAILED)
RESULT(READDIRPLUS, print_post("attributes", &ok->dir_attributes);
       print_hex("verifier", ok->cookieverf, sizeof ok->cookieverf); NUMBERS(ok->reply.eof);
       for (entryplus3 *entry = ok->reply.entries; entry; entry = entry->nextentry) {
	       print_entry(entry->fileid, entry->name, entry->cookie);
	       print_post("entry_attributes", &entry->name_attributes);
	       if (entry->name_handle.handle_follows)
		       print_hex("entry_handle", entry->name_handle.post_op_fh3_u.handle.data.data_val,
				 entry->name_handle.post_op_fh3_u.handle.data.data_len);
       }, DIR_FAILED)

static void print_NULL(void *data)
{
	(void)data;
	printf("status=0");
}

static void print_MNT(void *data)
{
	mountres3 *res = data;
	printf("status=%u", res->fhs_status);
	if (res->fhs_status == MNT3_OK) {
		mountres3_ok *ok = &res->mountres3_u.mountinfo;
		print_hex("handle", ok->fhandle.fhandle3_val, ok->fhandle.fhandle3_len);
		for (uint32_t i = 0; i < ok->auth_flavors.auth_flavors_len; i++)
			printf("%s%d", i ? "," : " numbers=", ok->auth_flavors.auth_flavors_val[i]);
	}
}

static void print_DUMP(void *data)
{
	printf("status=0");
	for (mountbody *mount = *(mountlist *)data; mount; mount = mount->ml_next)
		printf(" line=%s:%s", mount->ml_hostname, mount->ml_directory);
}

static void print_EXPORT(void *data)
{
	printf("status=0");
	for (exportnode *node = *(exports *)data; node; node = node->ex_next) {
		printf(" line=%s:", node->ex_dir);
		for (groupnode *group = node->ex_groups; group; group = group->gr_next)
			printf("%s%s", group->gr_name, group->gr_next ? "," : "");
	}
}

/* Connections and calls. */

static long now_ms(void)
{
	struct timeval now;
	gettimeofday(&now, NULL);
	return now.tv_sec * 1000L + now.tv_usec / 1000;
}

static void wait_answer(struct rpc_context *rpc)
{
	long deadline = now_ms() + PATIENCE_MS;
	while (!answered) {
		struct pollfd fd = {.fd = rpc_get_fd(rpc), .events = rpc_which_events(rpc)};
		if (now_ms() > deadline)
			die("no answer", "");
		if (poll(&fd, 1, 100) < 0)
			die("poll", rpc_get_error(rpc));
		if (rpc_service(rpc, fd.revents) < 0 && !answered)
			die("connection lost:", rpc_get_error(rpc));
	}
}

static struct rpc_context *connection(const char *address, int port, int program)
{
	struct rpc_context *rpc = rpc_init_context();
	if (!rpc)
		die("no memory", "");
	answered = 0;
	if (rpc_connect_port_async(rpc, address, port, program, 3, done, NULL))
		die("cannot connect:", rpc_get_error(rpc));
	wait_answer(rpc);
	if (rpc_status != RPC_STATUS_SUCCESS)
		die("cannot connect:", rpc_get_error(rpc));
	return rpc;
}

static struct AUTH *credential(void)
{
	uint32_t groups[16], count = 0, uid = number(), gid = number();
	for (char *group = strtok(word(), ","); group && strcmp(group, "-"); group = strtok(NULL, ","))
		if (count < 16)
			groups[count++] = strtoul(group, NULL, 10);
	return libnfs_authunix_create("conformance", uid, gid, count, groups);
}

/* Sends the call of the name, its arguments read from the rest of the line; its result is printed when it comes. */
#define CALL(procedure, lower, ...)                                                                                    \
	if (!strcmp(name, #procedure)) {                                                                               \
		procedure##3args args;                                                                                 \
		memset(&args, 0, sizeof args);                                                                         \
		__VA_ARGS__;                                                                                           \
		return rpc_nfs3_##lower##_async(nfs, done, &args, print_##procedure);                                  \
	}

static int send_nfs(struct rpc_context *nfs, const char *name)
{
	CALL(GETATTR, getattr, args.object = handle())
	CALL(SETATTR, setattr, args.object = handle(); args.new_attributes = attributes(); char *guard = word();
	     if (strcmp(guard, "-")) args.guard.check = 1, args.guard.sattrguard3_u.obj_ctime = time_of(guard))
	CALL(LOOKUP, lookup, args.what = place())
	CALL(ACCESS, access, args.object = handle(); args.access = number())
	CALL(READLINK, readlink, args.symlink = handle())
	CALL(READ, read, args.file = handle(); args.offset = number(); args.count = number())
	CALL(WRITE, write, args.file = handle(); args.offset = number(); args.count = number(); args.stable = number();
	     args.data.data_val = bytes(&args.data.data_len))
	CALL(CREATE, create, args.where = place(); args.how.mode = number();
	     if (args.how.mode == EXCLUSIVE) fixed(args.how.createhow3_u.verf, NFS3_CREATEVERFSIZE);
	     else args.how.createhow3_u.obj_attributes = attributes())
	CALL(MKDIR, mkdir, args.where = place(); args.attributes = attributes())
	CALL(SYMLINK, symlink, args.where = place(); args.symlink.symlink_attributes = attributes();
	     args.symlink.symlink_data = text())
	CALL(MKNOD, mknod, args.where = place(); args.what.type = number())
	CALL(REMOVE, remove, args.object = place())
	CALL(RMDIR, rmdir, args.object = place())
	CALL(RENAME, rename, args.from = place(); args.to = place())
	CALL(LINK, link, args.file = handle(); args.link = place())
	CALL(READDIR, readdir, args.dir = handle(); args.cookie = number(); fixed(args.cookieverf, NFS3_COOKIEVERFSIZE);
	     args.count = number())
	CALL(READDIRPLUS, readdirplus, args.dir = handle(); args.cookie = number();
	     fixed(args.cookieverf, NFS3_COOKIEVERFSIZE); args.dircount = number(); args.maxcount = number())
	CALL(FSSTAT, fsstat, args.fsroot = handle())
	CALL(FSINFO, fsinfo, args.fsroot = handle())
	CALL(PATHCONF, pathconf, args.object = handle())
	CALL(COMMIT, commit, args.file = handle(); args.offset = number(); args.count = number())
	if (!strcmp(name, "NULL"))
		return rpc_nfs3_null_async(nfs, done, print_NULL);
	die("no such procedure:", name);
	return -1;
}

static int send_mount(struct rpc_context *mount, const char *name)
{
	if (!strcmp(name, "MNT"))
		return rpc_mount3_mnt_async(mount, done, text(), print_MNT);
	if (!strcmp(name, "DUMP"))
		return rpc_mount3_dump_async(mount, done, print_DUMP);
	if (!strcmp(name, "UMNT"))
		return rpc_mount3_umnt_async(mount, done, text(), print_NULL);
	if (!strcmp(name, "UMNTALL"))
		return rpc_mount3_umntall_async(mount, done, print_NULL);
	return rpc_mount3_export_async(mount, done, print_EXPORT);
}

int main(int argc, char **argv)
{
	static const char *const mount_calls[] = {"MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT"};
	char *line = NULL;
	size_t size = 0;
	if (argc != 4)
		die("usage: libnfs_driver ADDRESS NFS_PORT MOUNT_PORT", "");
	struct rpc_context *nfs = connection(argv[1], atoi(argv[2]), NFS_PROGRAM);
	struct rpc_context *mount = connection(argv[1], atoi(argv[3]), MOUNT_PROGRAM);
	while (getline(&line, &size, stdin) > 0) {
		char *name = strtok(line, " \n");
		struct rpc_context *rpc = nfs;
		if (!name)
			continue;
		if (!strcmp(name, "AUTH")) {
			struct AUTH *auth = credential();
			rpc_set_auth(nfs, auth);
			continue;
		}
		for (size_t i = 0; i < sizeof mount_calls / sizeof *mount_calls; i++)
			if (!strcmp(name, mount_calls[i]))
				rpc = mount;
		answered = 0;
		if (rpc == nfs ? send_nfs(rpc, name) : send_mount(rpc, name))
			die("cannot send:", rpc_get_error(rpc));
		wait_answer(rpc);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}

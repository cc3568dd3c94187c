/* A stand-in for libcuda.so.1 that runs no GPU: what gantool calls of cuda.h, on host memory.
 *
 * The real cuda-bindings run on it with real arguments. Work is queued and done when its stream is synchronized, so
 * what is read too early is 0xCD. Blocks are counted and looked up, misuse is written down, and any call can be made
 * to fail, once or from then on. Names beginning with standin_ are for the tests; the variables STANDIN_FAIL
 * ("cuMemAlloc:2" or "cuMemAlloc:2:on"), STANDIN_INTEGRATED and STANDIN_REPORT do the same for a process.
 * Written from the public documentation of the CUDA driver API.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { OK = 0, INVALID = 1, OUT_OF_MEMORY = 2, NO_CONTEXT = 201, NOT_FOUND = 500, NOT_READY = 600, LOST = 719,
       CAPTURE_INVALID = 901 };
enum { HOST = 1, DEVICE = 2 };

typedef struct Block { char *base; size_t size; int kind; struct Block *next; } Block;
typedef struct { int kind; void *to; const void *from; size_t size; void (*call)(void *); void *data; } Op;
enum { COPY, CALL, MARK };
typedef struct { Op *ops; size_t count, room; } Queue;
typedef struct Stream { Queue queue; Queue *captured; int broken; struct Stream *next; } Stream;
typedef struct { double at; int recorded; } Event;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Block *blocks;
static Stream *streams;
static long retained, live_streams, live_events, live_graphs, live_execs, clock_ticks;
static char wrong[4096], fail_name[64], calls[64][40];
static long fail_at, fail_on, seen[64], lost;
static int integrated, using;
static __thread void *current;
static char the_context;

static void note(const char *what) {
    if (strlen(wrong) + strlen(what) + 2 < sizeof wrong) { strcat(wrong, what); strcat(wrong, "\n"); }
}

static CUresult status(const char *name) {
    long n = 0;
    for (int i = 0; i < 64; i++) {
        if (!calls[i][0]) snprintf(calls[i], sizeof calls[i], "%s", name);
        if (!strcmp(calls[i], name)) { n = ++seen[i]; break; }
    }
    if (lost) return LOST;
    if (!strcmp(name, fail_name) && n == fail_at) {
        if (fail_on) { lost = 1; return LOST; }
        return OUT_OF_MEMORY;
    }
    return OK;
}

static int has_context(const char *name) {
    if (retained > 0 && current == &the_context) return 1;
    char text[96];
    snprintf(text, sizeof text, "%s: no context in this thread", name);
    note(text);
    return 0;
}

static Block *find(const void *address, size_t size) {
    for (Block *b = blocks; b; b = b->next)
        if (b->base <= (char *)address && (char *)address + size <= b->base + b->size) return b;
    return NULL;
}

static int push(Stream *s, Op op) {
    Queue *q = s->captured ? s->captured : &s->queue;
    if (q->count == q->room) q->ops = realloc(q->ops, (q->room = q->room * 2 + 16) * sizeof(Op));
    q->ops[q->count++] = op;
    return OK;
}

static int known(Stream *s) {
    for (Stream *t = streams; t; t = t->next) if (t == s) return 1;
    note("a dead stream was used");
    return 0;
}

/* The driver API */

CUresult cuInit(unsigned flags) { (void)flags; return status("cuInit"); }
CUresult cuDriverGetVersion(int *version) { *version = 13000; return status("cuDriverGetVersion"); }
CUresult cuDeviceGetCount(int *count) { *count = 1; return status("cuDeviceGetCount"); }
CUresult cuDeviceGet(int *device, int ordinal) {
    *device = 0;
    return ordinal ? INVALID : status("cuDeviceGet");
}
CUresult cuDeviceGetName(char *name, int size, int device) {
    (void)device;
    snprintf(name, (size_t)size, "stand-in");
    return status("cuDeviceGetName");
}
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    *value = attribute == 18 ? integrated : attribute == 75 ? 8 : attribute == 76 ? 6 : 0; /* INTEGRATED, 8.6 */
    return status("cuDeviceGetAttribute");
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    CUresult result = status("cuDevicePrimaryCtxRetain");
    if (!result) { retained++; *context = &the_context; }
    return result;
}
CUresult cuDevicePrimaryCtxRelease(int device) {
    (void)device;
    if (blocks) note("the context was released before its memory");
    if (live_streams) note("the context was released before its streams");
    if (live_events) note("the context was released before its events");
    if (live_execs || live_graphs) note("the context was released before its graphs");
    if (--retained < 0) note("a context was released that was not retained");
    return status("cuDevicePrimaryCtxRelease");
}
CUresult cuCtxSetCurrent(void *context) {
    CUresult result = status("cuCtxSetCurrent");
    if (context && !retained) note("a dead context was made current");
    if (!result) current = context;
    return result;
}
CUresult cuCtxGetCurrent(void **context) { *context = current; return status("cuCtxGetCurrent"); }

static CUresult take(const char *name, void **address, size_t size, int kind) {
    CUresult result = has_context(name) ? status(name) : NO_CONTEXT;
    if (result) return result;
    Block *b = malloc(sizeof *b);
    *b = (Block){.base = malloc(size), .size = size, .kind = kind};
    memset(b->base, 0xCD, size);
    pthread_mutex_lock(&lock);
    b->next = blocks;
    blocks = b;
    pthread_mutex_unlock(&lock);
    *address = b->base;
    return OK;
}
static CUresult drop(const char *name, void *address, int kind) {
    has_context(name);
    if (using) note("memory was freed while an execution context may use it");
    for (Stream *s = streams; s; s = s->next)
        for (size_t i = 0; i < s->queue.count; i++) {
            Block *b = find(address, 1);
            Op *op = &s->queue.ops[i];
            if (!lost && b && op->kind == COPY && (find(op->to, 1) == b || find(op->from, 1) == b))
                note("memory was freed that queued work uses");
        }
    for (Block **b = &blocks; *b; b = &(*b)->next)
        if ((*b)->base == address && (*b)->kind == kind) {
            Block *gone = *b;
            *b = gone->next;
            memset(gone->base, 0xDD, gone->size);
            free(gone->base);
            free(gone);
            return status(name);
        }
    note("memory was freed that is not alive");
    return INVALID;
}
CUresult cuMemAlloc(uint64_t *address, size_t size) { return take("cuMemAlloc", (void **)address, size, DEVICE); }
CUresult cuMemFree(uint64_t address) { return drop("cuMemFree", (void *)address, DEVICE); }
CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) {
    if (flags != 2) note("pinned memory without DEVICEMAP");
    return take("cuMemHostAlloc", address, size, HOST);
}
CUresult cuMemFreeHost(void *address) { return drop("cuMemFreeHost", address, HOST); }
CUresult cuMemHostGetDevicePointer(uint64_t *device, void *host, unsigned flags) {
    (void)flags;
    if (!find(host, 1)) note("the device pointer of memory that is not pinned");
    *device = (uint64_t)host;
    return status("cuMemHostGetDevicePointer");
}

CUresult cuStreamCreate(void **stream, unsigned flags) {
    if (flags != 1) note("a blocking stream");
    CUresult result = has_context("cuStreamCreate") ? status("cuStreamCreate") : NO_CONTEXT;
    if (result) return result;
    Stream *s = calloc(1, sizeof *s);
    s->next = streams;
    streams = s;
    live_streams++;
    *stream = s;
    return OK;
}
CUresult cuStreamDestroy(Stream *stream) {
    if (!known(stream)) return INVALID;
    if (stream->queue.count && !lost) note("a stream was destroyed with work queued");
    if (stream->captured) note("a stream was destroyed while it was captured");
    for (Stream **s = &streams; *s; s = &(*s)->next)
        if (*s == stream) { *s = stream->next; break; }
    free(stream->queue.ops);
    free(stream);
    live_streams--;
    return status("cuStreamDestroy");
}
CUresult cuStreamSynchronize(Stream *stream) {
    if (!known(stream) || !has_context("cuStreamSynchronize")) return INVALID;
    if (stream->captured) { stream->broken = 1; return CAPTURE_INVALID; }
    CUresult result = status("cuStreamSynchronize");
    for (size_t i = 0; i < stream->queue.count && !result; i++) { /* a GPU that failed does no more */
        Op *op = &stream->queue.ops[i];
        if (op->kind == COPY) memmove(op->to, op->from, op->size);
        else if (op->kind == CALL) op->call(op->data);
        else { ((Event *)op->data)->at = (double)++clock_ticks; ((Event *)op->data)->recorded = 1; }
    }
    stream->queue.count = 0;
    return result;
}

static CUresult copy(const char *name, void *to, const void *from, size_t size, int to_kind, Stream *stream) {
    if (!known(stream) || !has_context(name)) return INVALID;
    Block *a = find(to, size), *b = find(from, size);
    if (!a || a->kind != to_kind || !b || b->kind == to_kind) note("a copy between memory that is not alive");
    CUresult result = status(name);
    return result ? result : push(stream, (Op){.kind = COPY, .to = to, .from = from, .size = size});
}
CUresult cuMemcpyHtoDAsync(uint64_t to, const void *from, size_t size, Stream *stream) {
    return copy("cuMemcpyHtoDAsync", (void *)to, from, size, DEVICE, stream);
}
CUresult cuMemcpyDtoHAsync(void *to, uint64_t from, size_t size, Stream *stream) {
    return copy("cuMemcpyDtoHAsync", to, (void *)from, size, HOST, stream);
}

CUresult cuEventCreate(void **event, unsigned flags) {
    (void)flags;
    CUresult result = has_context("cuEventCreate") ? status("cuEventCreate") : NO_CONTEXT;
    if (!result) { *event = calloc(1, sizeof(Event)); live_events++; }
    return result;
}
CUresult cuEventDestroy(Event *event) { free(event); live_events--; return status("cuEventDestroy"); }
CUresult cuEventRecord(Event *event, Stream *stream) {
    if (!known(stream)) return INVALID;
    if (stream->captured) note("an event was recorded into a graph: its time cannot be read");
    CUresult result = status("cuEventRecord");
    return result ? result : push(stream, (Op){.kind = MARK, .data = event});
}
CUresult cuEventElapsedTime(float *ms, Event *start, Event *end) {
    if (!start->recorded || !end->recorded) return NOT_READY;
    *ms = (float)(end->at - start->at);
    return status("cuEventElapsedTime");
}

CUresult cuStreamBeginCapture(Stream *stream, int mode) {
    if (!known(stream)) return INVALID;
    if (mode != 1) note("a capture that other threads can break"); /* THREAD_LOCAL */
    if (stream->queue.count) note("a capture began with work queued");
    CUresult result = status("cuStreamBeginCapture");
    if (!result) { stream->captured = calloc(1, sizeof(Queue)); stream->broken = 0; live_graphs++; }
    return result;
}
CUresult cuStreamEndCapture(Stream *stream, void **graph) {
    if (!known(stream) || !stream->captured) return INVALID;
    CUresult result = stream->broken ? CAPTURE_INVALID : status("cuStreamEndCapture");
    *graph = stream->captured;
    stream->captured = NULL;
    if (result) { free(((Queue *)*graph)->ops); free(*graph); *graph = NULL; live_graphs--; }
    return result;
}
CUresult cuGraphInstantiateWithFlags(void **exec, Queue *graph, unsigned long long flags) {
    (void)flags;
    CUresult result = status("cuGraphInstantiate");
    if (result) return result;
    Queue *copied = calloc(1, sizeof *copied);
    copied->ops = malloc((copied->count = copied->room = graph->count) * sizeof(Op) + 1);
    memcpy(copied->ops, graph->ops, graph->count * sizeof(Op));
    live_execs++;
    *exec = copied;
    return OK;
}
CUresult cuGraphLaunch(Queue *exec, Stream *stream) {
    if (!known(stream) || !has_context("cuGraphLaunch")) return INVALID;
    CUresult result = status("cuGraphLaunch");
    for (size_t i = 0; i < exec->count && !result; i++) push(stream, exec->ops[i]);
    return result;
}
CUresult cuGraphDestroy(Queue *graph) { free(graph->ops); free(graph); live_graphs--; return status("cuGraphDestroy"); }
CUresult cuGraphExecDestroy(Queue *exec) {
    free(exec->ops);
    free(exec);
    live_execs--;
    return status("cuGraphExecDestroy");
}
CUresult cuGetErrorName(CUresult code, const char **name) { *name = code ? "an error" : "CUDA_SUCCESS"; return OK; }
CUresult cuGetErrorString(CUresult code, const char **text) { return cuGetErrorName(code, text); }
CUresult cuGetExportTable(const void **table, const void *id) { (void)id; *table = NULL; return NOT_FOUND; }

/* For the tests */

CUresult standin_enqueue(Stream *stream, void (*call)(void *), void *data) {
    return known(stream) ? push(stream, (Op){.kind = CALL, .call = call, .data = data}) : INVALID;
}
int standin_capturing(Stream *stream) { return known(stream) && stream->captured != NULL; }
int standin_queued(void) {
    int count = 0;
    for (Stream *s = streams; s; s = s->next) count += (int)s->queue.count;
    return lost ? 0 : count;
}
int standin_alive(uint64_t address, size_t size, int mapped) {
    Block *b = find((void *)address, size);
    return b && (b->kind == DEVICE || mapped);
}
void standin_use(int change) { using += change; }
int standin_retained(void) { return (int)retained; }
int standin_context(void) { return retained > 0 && current == &the_context; }
void standin_fail(const char *name, long at, long on) {
    snprintf(fail_name, sizeof fail_name, "%s", name);
    fail_at = at;
    fail_on = on;
    lost = 0;
    using = 0;
    integrated = 0;
    memset(seen, 0, sizeof seen);
    memset(calls, 0, sizeof calls);
    wrong[0] = 0;
}
void standin_integrated(int value) { integrated = value; }
long standin_calls(const char *name) {
    for (int i = 0; i < 64; i++) if (!strcmp(calls[i], name)) return seen[i];
    return 0;
}
void standin_note(const char *what) { note(what); }
const char *standin_wrong(void) { return wrong; }
const char *standin_left(void) {
    static char text[200];
    size_t bytes = 0;
    for (Block *b = blocks; b; b = b->next) bytes += b->size;
    text[0] = 0;
    if (bytes || retained || live_streams || live_events || live_graphs || live_execs)
        snprintf(text, sizeof text, "%zu bytes, %ld contexts, %ld streams, %ld events, %ld graphs, %ld of them ready",
                 bytes, retained, live_streams, live_events, live_graphs, live_execs);
    return text;
}

typedef struct { const char *name; void *function; } Entry;
#define ENTRY(name) {#name, (void *)name}
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found);
static const Entry table[] = {
    ENTRY(cuInit), ENTRY(cuDriverGetVersion), ENTRY(cuDeviceGetCount), ENTRY(cuDeviceGet), ENTRY(cuDeviceGetName),
    ENTRY(cuDeviceGetAttribute), ENTRY(cuDevicePrimaryCtxRetain), ENTRY(cuDevicePrimaryCtxRelease),
    ENTRY(cuCtxSetCurrent), ENTRY(cuCtxGetCurrent), ENTRY(cuMemAlloc), ENTRY(cuMemFree), ENTRY(cuMemHostAlloc),
    ENTRY(cuMemFreeHost), ENTRY(cuMemHostGetDevicePointer), ENTRY(cuStreamCreate), ENTRY(cuStreamDestroy),
    ENTRY(cuStreamSynchronize), ENTRY(cuMemcpyHtoDAsync), ENTRY(cuMemcpyDtoHAsync), ENTRY(cuEventCreate),
    ENTRY(cuEventDestroy), ENTRY(cuEventRecord), ENTRY(cuEventElapsedTime), ENTRY(cuStreamBeginCapture),
    ENTRY(cuStreamEndCapture), {"cuGraphInstantiate", (void *)cuGraphInstantiateWithFlags},
    ENTRY(cuGraphInstantiateWithFlags), ENTRY(cuGraphLaunch), ENTRY(cuGraphDestroy), ENTRY(cuGraphExecDestroy),
    ENTRY(cuGetErrorName), ENTRY(cuGetErrorString), ENTRY(cuGetExportTable),
    {"cuGetProcAddress", (void *)cuGetProcAddress_v2},
};

CUresult cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
    (void)version;
    (void)flags;
    *function = NULL;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name)) *function = table[i].function;
    if (found) *found = *function ? 0 : 1;
    return *function ? OK : NOT_FOUND;
}

__attribute__((constructor)) static void begin(void) {
    char name[64];
    long at = 1;
    char on[8] = "";
    if (getenv("STANDIN_FAIL") && sscanf(getenv("STANDIN_FAIL"), "%63[^:]:%ld:%7s", name, &at, on) >= 1)
        standin_fail(name, at, !strcmp(on, "on"));
    integrated = getenv("STANDIN_INTEGRATED") != NULL;
}
__attribute__((destructor)) static void end(void) {
    FILE *file = getenv("STANDIN_REPORT") ? fopen(getenv("STANDIN_REPORT"), "w") : NULL;
    if (!file) return;
    fprintf(file, "%s%s", wrong, standin_left());
    fclose(file);
}

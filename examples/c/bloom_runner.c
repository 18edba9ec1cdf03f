/* Bloom embeddings in plain C99, as a program that npbloom's conformance kit can ask: docs/verify-in-c.md.
 *
 *     cc -std=c99 -O2 -o bloom_runner bloom_runner.c
 *     npbloom vectors export vectors
 *     ./bloom_runner < vectors/bloom.json > results
 *
 * It reads one case a line and answers with one line. A file of golden vectors has the same lines: others are skipped.
 * Lines hold no blanks and no escapes, so that a field is found by its name in quotes. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the operation ---------------------------------------------------------------------------------------------- */

static const uint32_t SEEDS[24] = {
    179424941, 179425457, 179425907, 179426369, 179424977, 179425517, 179425943, 179426407,
    179424989, 179425529, 179425993, 179426447, 179425003, 179425537, 179426003, 179426453,
    179425019, 179425559, 179426029, 179426491, 179425027, 179425579, 179426081, 179426549};

struct bloom {
    int64_t ids, rows, width, probes; /* of the layer; ids lie in [0, ids) */
    int64_t padding;                  /* its padding id, or -1 */
    int shared;                       /* whether other ids may probe row 0 */
};

static uint32_t rotate(uint32_t word, int left) { return (word << left) | (word >> (32 - left)); }

static uint32_t murmur3_32(const unsigned char *key, size_t length, uint32_t seed) {
    uint32_t h = seed;
    for (size_t at = 0; at < length; at += 4) {
        uint32_t k = 0;
        for (size_t byte = 0; byte < 4 && at + byte < length; byte++) k |= (uint32_t)key[at + byte] << (8 * byte);
        h ^= rotate(k * 0xCC9E2D51u, 15) * 0x1B873593u;
        if (at + 4 <= length) h = rotate(h, 13) * 5 + 0xE6546B64u;
    }
    h ^= (uint32_t)length;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
}

/* The row of an id in a table of this height: the hash is read as signed, and the remainder is never negative (L20). */
static int64_t row_of(int64_t id, uint32_t seed, int64_t height) {
    unsigned char key[4];
    for (int byte = 0; byte < 4; byte++) key[byte] = (unsigned char)((uint64_t)id >> (8 * byte));
    uint32_t hash = murmur3_32(key, 4, seed);
    int64_t number = hash < 0x80000000u ? (int64_t)hash : (int64_t)hash - 0x100000000;
    int64_t rest = number % height;
    return rest < 0 ? rest + height : rest;
}

/* Row j of an id. With a padding id, row 0 is reserved: whoever reads it adds zero and has no gradient (L22). */
static int64_t probe(const struct bloom *layer, int64_t id, int64_t j) {
    if (id == layer->padding) return 0;
    if (layer->padding < 0 || layer->shared) return row_of(id, SEEDS[j], layer->rows);
    return 1 + row_of(id, SEEDS[j], layer->rows - 1);
}

static int reserved(const struct bloom *layer, int64_t row) { return layer->padding >= 0 && row == 0; }

static void bloom_forward(const struct bloom *layer, const double *weight, const int64_t *ids, size_t n, double *out) {
    for (size_t i = 0; i < n; i++)
        for (int64_t j = 0; j < layer->probes; j++) {
            int64_t row = probe(layer, ids[i], j);
            if (reserved(layer, row)) continue;
            for (int64_t c = 0; c < layer->width; c++) out[(int64_t)i * layer->width + c] += weight[row * layer->width + c];
        }
}

static void bloom_backward(const struct bloom *layer, const int64_t *ids, const double *grad_out, size_t n, double *grad_weight) {
    for (size_t i = 0; i < n; i++)
        for (int64_t j = 0; j < layer->probes; j++) {
            int64_t row = probe(layer, ids[i], j);
            if (reserved(layer, row)) continue;
            for (int64_t c = 0; c < layer->width; c++) grad_weight[row * layer->width + c] += grad_out[(int64_t)i * layer->width + c];
        }
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

struct array {
    char dtype[16];
    int ndim;
    size_t shape[8], size;
    double *reals;    /* of float32 and float64 */
    int64_t *numbers; /* of integers */
};

static void *zeros(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) exit(3);
    return memory;
}

static void answer(const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf(",\"%s\":\"", kind);
    vprintf(format, arguments);
    printf("\"}\n");
    va_end(arguments);
}

/* What follows "name": in the line, or NULL. */
static const char *field(const char *line, const char *name) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *found = strstr(line, quoted);
    return found ? found + strlen(quoted) : NULL;
}

static int64_t number(const char *line, const char *name, int64_t otherwise) {
    const char *text = field(line, name);
    return text ? (int64_t)strtoull(text, NULL, 10) : otherwise; /* 2^63 ids need all 64 bits; a sign is understood */
}

static int is_word(const char *line, const char *name, const char *word) {
    const char *text = field(line, name);
    return text && strncmp(text + 1, word, strlen(word)) == 0 && text[1 + strlen(word)] == '"';
}

static const char digits[] = "0123456789abcdef";

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

/* The array of this name: {"dtype":"float32","shape":[2,3],"hex":"..."}, bytes little-endian. */
static int read_array(const char *line, const char *name, struct array *array) {
    const char *text = field(line, name);
    if (!text) return 0;
    memset(array, 0, sizeof *array);
    sscanf(field(text, "dtype"), "\"%15[a-z0-9]\"", array->dtype);
    array->size = 1;
    for (char *end, *at = (char *)field(text, "shape") + 1; *at != ']' && array->ndim < 8; at = *end == ',' ? end + 1 : end) {
        array->shape[array->ndim] = strtoull(at, &end, 10);
        array->size *= array->shape[array->ndim++];
    }
    int real = array->dtype[0] == 'f';
    int bytes = strstr(array->dtype, "64") ? 8 : strstr(array->dtype, "32") ? 4 : 1;
    if (real) array->reals = zeros(array->size, sizeof(double));
    else array->numbers = zeros(array->size, sizeof(int64_t));
    const char *hex = field(text, "hex") + 1;
    for (size_t i = 0; i < array->size; i++) {
        uint64_t word = 0;
        for (int byte = 0; byte < bytes; byte++, hex += 2) word |= (uint64_t)(digit(hex[0]) * 16 + digit(hex[1])) << (8 * byte);
        uint32_t half = (uint32_t)word;
        float single;
        if (!real) array->numbers[i] = (int64_t)word;
        else if (bytes == 8) memcpy(&array->reals[i], &word, 8);
        else memcpy(&single, &half, 4), array->reals[i] = single;
    }
    return 1;
}

static void free_array(struct array *array) { free(array->reals), free(array->numbers); }

static void print_array(const char *name, const char *dtype, int ndim, const size_t *shape, const double *reals, const int64_t *numbers) {
    size_t size = 1;
    int bytes = strstr(dtype, "64") ? 8 : 4;
    printf("\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, dtype);
    for (int axis = 0; axis < ndim; axis++) printf(axis ? ",%zu" : "%zu", shape[axis]), size *= shape[axis];
    printf("],\"hex\":\"");
    for (size_t i = 0; i < size; i++) {
        uint64_t word = numbers ? (uint64_t)numbers[i] : 0;
        uint32_t half;
        float single = reals ? (float)reals[i] : 0; /* sums are rounded once, here (L5) */
        if (reals && bytes == 8) memcpy(&word, &reals[i], 8);
        if (reals && bytes == 4) memcpy(&half, &single, 4), word = half;
        for (int byte = 0; byte < bytes; byte++, word >>= 8) putchar(digits[word >> 4 & 15]), putchar(digits[word & 15]);
    }
    printf("\"}");
}

/* ---- the cases -------------------------------------------------------------------------------------------------- */

static void run_hash_bytes(const char *line) {
    struct array keys;
    read_array(line, "keys", &keys);
    size_t count = keys.shape[0], length = keys.shape[1];
    unsigned char *key = zeros(length, 1);
    int64_t *hashes = zeros(count, sizeof *hashes);
    for (size_t i = 0; i < count; i++) {
        for (size_t byte = 0; byte < length; byte++) key[byte] = (unsigned char)keys.numbers[i * length + byte];
        hashes[i] = murmur3_32(key, length, (uint32_t)number(line, "seed", 0));
    }
    printf(",\"outputs\":{");
    print_array("hash", "uint32", 1, &count, NULL, hashes);
    printf("}}\n");
    free(key), free(hashes), free_array(&keys);
}

static void run_hash(const char *line) {
    struct array ids;
    read_array(line, "ids", &ids);
    uint32_t seeds[64];
    size_t shape[2] = {ids.size, 0};
    for (char *end, *at = (char *)field(line, "seeds") + 1; *at != ']' && shape[1] < 64; at = *end == ',' ? end + 1 : end)
        seeds[shape[1]++] = (uint32_t)strtoull(at, &end, 10);
    int padded = field(line, "padding_idx") != NULL;
    int64_t height = number(line, "num_rows", 1), padding = number(line, "padding_idx", 0);
    int64_t *rows = zeros(ids.size * shape[1], sizeof *rows);
    for (size_t i = 0; i < ids.size; i++)
        for (size_t j = 0; j < shape[1]; j++)
            if (!padded || ids.numbers[i] != padding) rows[i * shape[1] + j] = row_of(ids.numbers[i], seeds[j], height);
    printf(",\"outputs\":{");
    print_array("rows", "int64", 2, shape, NULL, rows);
    printf("}}\n");
    free(rows), free_array(&ids);
}

static void run_bloom(const char *line) {
    struct array weight, ids, grad_out;
    read_array(line, "weight", &weight), read_array(line, "ids", &ids), read_array(line, "grad_out", &grad_out);
    struct bloom layer = {
        number(line, "num_embeddings", 0), (int64_t)weight.shape[0], (int64_t)weight.shape[1],
        number(line, "num_hash_functions", 4), number(line, "padding_idx", -1), *field(line, "share_padding_row") == 't'};
    size_t bad = 0;
    while (bad < ids.size && ids.numbers[bad] >= 0 && ids.numbers[bad] < layer.ids) bad++;
    if (bad < ids.size) {
        answer("error", "id %" PRId64 " is not in [0, %" PRId64 ")", ids.numbers[bad], layer.ids);
    } else {
        double *out = zeros(grad_out.size, sizeof *out), *grad_weight = zeros(weight.size, sizeof *grad_weight);
        bloom_forward(&layer, weight.reals, ids.numbers, ids.size, out);
        bloom_backward(&layer, ids.numbers, grad_out.reals, ids.size, grad_weight);
        printf(",\"outputs\":{");
        print_array("out", weight.dtype, grad_out.ndim, grad_out.shape, out, NULL);
        printf(",");
        print_array("grad_weight", weight.dtype, weight.ndim, weight.shape, grad_weight, NULL);
        printf("}}\n");
        free(out), free(grad_weight);
    }
    free_array(&weight), free_array(&ids), free_array(&grad_out);
}

static char *read_line(void) {
    static char *line = NULL;
    static size_t room = 0;
    size_t length = 0;
    for (int c = getchar(); c != '\n'; c = getchar()) {
        if (c == EOF) return NULL;
        if (length + 2 > room && !(line = realloc(line, room = room ? 2 * room : 4096))) exit(3);
        line[length++] = (char)c;
        line[length] = '\0';
    }
    return length ? line : "";
}

int main(void) {
    for (char *line; (line = read_line());) {
        if (strncmp(line, "{\"tcId\":", 8) != 0) continue;
        char *expect = strstr(line, ",\"expect\":");
        if (expect) *expect = '\0'; /* golden vectors bring the answers along: no peeping */
        printf("{\"tcId\":%" PRId64, number(line, "tcId", 0));
        int single = is_word(line, "dtype", "float32"), real = single || is_word(line, "dtype", "float64");
        if (is_word(line, "op", "hash_bytes")) run_hash_bytes(line);
        else if (is_word(line, "op", "hash")) run_hash(line);
        else if (is_word(line, "op", "bloom") && real) run_bloom(line);
        else answer("unsupported", "only hashes and bloom in float32 and float64");
        fflush(stdout);
    }
    return 0;
}

/* Byte pairs, against GPT-2's algorithm written out plainly, and pretokens against known cuts. */
#include "make_corpus.h"

#include "data/text.h"
#include "data/tokenizer_rules.h"
#include "heed/rng.h"
#include "heed/store.h"

static heed_tokenizer *learned(const char *text, size_t bytes, size_t vocab) {
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    ok(heed_tokenizer_learn_vocab(&tokenizer, HEED_TOKENIZER_BPE, vocab, "t", text, bytes, &error), &error);
    return tokenizer;
}

/* The byte's name in GPT-2's files, as its source defines it. */
static size_t name_of_byte(int byte, char *name) {
    int code = byte, n_before = 0;
    for (int b = 0; b <= byte; b++) {
        const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        if (b == byte && !prints)
            code = 256 + n_before;
        n_before += !prints;
    }
    if (code < 0x80) {
        name[0] = (char)code;
        return 1;
    }
    name[0] = (char)(0xC0 | code >> 6);
    name[1] = (char)(0x80 | (code & 0x3F));
    return 2;
}

/* 256 bytes in GPT-2's order, then these. */
static void write_encoder(const char *more) {
    FILE *file = fopen("encoder.json", "wb");
    int number = 0;
    fputc('{', file);
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0; b < 256; b++) {
            char name[3];
            const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
            const size_t n = name_of_byte(b, name);
            if (prints == (pass == 0))
                fprintf(file, "\"%s%.*s\": %d, ", b == '"' || b == '\\' ? "\\" : "", (int)n, name, number++);
        }
    fprintf(file, "%s}", more);
    fclose(file);
}

/* --- pretokens -------------------------------------------------------------------------------------------------- */

/* Cuts are marked by '|'. What GPT-2's expression does is known from its documentation and source. */
static void text_is_cut_as_gpt2_cuts_it(void **state) {
    (void)state;
    static const char *const cases[] = {
        "Hello| world|!",
        "I|'m| sure| we|'ll| say| it|'s| they|'ve|,| you|'re|,| he|'d|,| can|'t",
        "I|'|M",        /* capitals do not contract */
        "a|  | b",      /* the last blank goes with the word */
        "a| |\n|b| \n", /* a line feed does not */
        " a|  |\t|b",
        "x|   ",
        "abc|123| 4567|.|5",
        "\xC3\xA9t\xC3\xA9| na\xC3\xAFve| \xE4\xBD\xA0\xE5\xA5\xBD|\xEF\xBC\x81", /* letters of every script */
        "\xD9\xA1\xD9\xA2| \xC2\xBD",                                             /* digits of every script */
        "foo|(|bar|)| ...| -->",
        "a|\xC2\xA0|b",     /* a no-break space is white space, but joins no word */
        "a|\xE1\xA0\x8E|b", /* U+180E is not */
        "snake|_|case| #|1|!",
    };
    heed_error error = HEED_ERROR_INIT;
    heedi_pretokens *pretokens;
    ok(heedi_pretokens_create(&pretokens, &error), &error);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[128], marked[256] = "";
        size_t n = 0;
        for (const char *p = cases[c]; *p; p++)
            if (*p != '|')
                text[n++] = *p;
        for (size_t at = 0, length; at < n; at += length) {
            length = heedi_pretokens_next(pretokens, text, n, at);
            if (at)
                strcat(marked, "|");
            strncat(marked, text + at, length);
        }
        assert_string_equal(marked, cases[c]);
    }
    heedi_pretokens_destroy(pretokens);
}

/* Cutting where `whole` allows it changes no pretoken. */
static void pieces_do_not_change_pretokens(void **state) {
    (void)state;
    static const heed_rng dice = {.seed = 1, .purpose = HEED_PURPOSE_TEST};
    static const char *const parts[] = {"a",  "bc", " ", "  ",       "\n",       "\t",          "12",
                                        "'s", "'",  ".", "\xC3\xA9", "\xC2\xA0", "\xE2\x80\x83"};
    heed_error error = HEED_ERROR_INIT;
    heedi_pretokens *pretokens;
    ok(heedi_pretokens_create(&pretokens, &error), &error);
    uint32_t n_thrown = 0;
    size_t n_cut = 0;
    for (int i = 0; i < 2000; i++) {
        char text[200] = "";
        for (int k = 0; k < 20; k++)
            strcat(text, parts[heed_rng_below(&dice, n_thrown++, sizeof parts / sizeof *parts)]);
        const size_t n = strlen(text), front = heed_rng_below(&dice, n_thrown++, n + 1);
        size_t cut = heedi_utf8_whole(text, front);
        cut = heedi_pretokens_whole(text, cut);
        bool edge[201] = {0};
        for (size_t at = 0; at < n; at += heedi_pretokens_next(pretokens, text, n, at))
            edge[at] = true;
        assert_true(cut == 0 || edge[cut]);
        for (size_t at = 0; at < cut; at += heedi_pretokens_next(pretokens, text, cut, at))
            assert_true(edge[at]);
        n_cut += cut > 0;
    }
    assert_true(n_cut > 500);
    heedi_pretokens_destroy(pretokens);
}

/* --- encoding --------------------------------------------------------------------------------------------------- */

/* GPT-2's way: while some pair of neighbours has a merge, join all occurrences of the pair of the earliest merge, from
 * left to right. */
static size_t encode_plainly(const heed_tokenizer *tokenizer, const char *word, size_t bytes, int32_t *tokens) {
    const heedi_bpe *bpe = tokenizer->bpe;
    size_t n = bytes;
    for (size_t i = 0; i < n; i++)
        tokens[i] = bpe->of_byte[(unsigned char)word[i]];
    for (;;) {
        size_t first = bpe->n_merges;
        for (size_t m = 0; m < first; m++)
            for (size_t i = 0; i + 1 < n; i++)
                if (tokens[i] == bpe->pair[2 * m] && tokens[i + 1] == bpe->pair[2 * m + 1])
                    first = m;
        if (first == bpe->n_merges)
            return n;
        const int32_t left = bpe->pair[2 * first], right = bpe->pair[2 * first + 1];
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            const bool joins = i + 1 < n && tokens[i] == left && tokens[i + 1] == right;
            tokens[kept++] = joins ? bpe->result[first] : tokens[i];
            i += joins;
        }
        n = kept;
    }
}

/* Random tables of merges over few letters, of which many make the same piece: every order of joining shows. */
static void joining_follows_gpt2(void **state) {
    (void)state;
    static const heed_rng dice = {.seed = 2, .purpose = HEED_PURPOSE_TEST};
    uint32_t n_thrown = 0;
    heed_error error = HEED_ERROR_INIT;
    for (int table = 0; table < 60; table++) {
        heed_tokenizer *tokenizer;
        heedi_words pieces = {0};
        size_t number, token = 0;
        const char *fault = NULL;
        ok(heedi_tokenizer_begin(&tokenizer, HEED_TOKENIZER_BPE, &error), &error);
        for (int byte = 0; byte < 256; byte++)
            ok(heedi_words_add(&pieces, &(char){(char)byte}, 1, &number, &error), &error);
        for (int m = 0; m < 40; m++) {
            int32_t side[2];
            char joined[400];
            size_t n = 0, length;
            for (int k = 0; k < 2; k++) {
                const uint64_t any = heed_rng_below(&dice, n_thrown++, pieces.n - 256 + 3);
                side[k] = (int32_t)(any < 3 ? (uint64_t)'a' + any : 256 + any - 3);
                const char *piece = heedi_words_at(&pieces, (size_t)side[k], &length);
                memcpy(joined + n, piece, length);
                n += length;
            }
            bool is_new = n < 12;
            for (size_t other = 0; other < tokenizer->bpe->n_merges; other++)
                is_new = is_new && memcmp(tokenizer->bpe->pair + 2 * other, side, sizeof side) != 0;
            if (!is_new)
                continue;
            ok(heedi_words_add(&pieces, joined, n, &number, &error), &error);
            ok(heedi_bpe_add(tokenizer->bpe, side[0], side[1], 0, &error), &error);
        }
        ok(heedi_tokenizer_table_of(tokenizer, &pieces, &error), &error);
        ok(heedi_bpe_rules.adopt(tokenizer, &token, &fault, &error), &error);
        assert_null(fault);
        for (int i = 0; i < 50; i++) {
            char word[41] = "";
            int32_t expected[40], *tokens;
            const size_t n = 1 + heed_rng_below(&dice, n_thrown++, 40);
            for (size_t k = 0; k < n; k++)
                word[k] = (char)('a' + heed_rng_below(&dice, n_thrown++, 3));
            size_t n_tokens;
            ok(heed_tokenizer_encode(tokenizer, "t", word, n, &tokens, &n_tokens, &error), &error);
            assert_int_equal(n_tokens, encode_plainly(tokenizer, word, n, expected));
            assert_memory_equal(tokens, expected, n_tokens * sizeof *tokens);
            free(tokens);
        }
        heedi_words_reset(&pieces);
        heed_tokenizer_destroy(tokenizer);
    }
}

/* "abc" is made in two ways, and what it makes possible has an earlier merge than the second way: all of that round is
 * joined first. */
static void a_round_is_finished_before_the_next(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    write_encoder("\"bc\": 256, \"ab\": 257, \"abc\": 258, \"abca\": 259");
    write_text("vocab.bpe", "b c\na b\nab c\nabc a\na bc\n");
    ok(heed_tokenizer_of_gpt2(&tokenizer, "encoder.json", "vocab.bpe", &error), &error);
    int32_t *tokens, expected[6];
    size_t n;
    ok(heed_tokenizer_encode(tokenizer, "t", "abcabc", 6, &tokens, &n, &error), &error);
    assert_int_equal(n, 2);
    assert_true(tokens[0] == 258 && tokens[1] == 258);
    assert_int_equal(encode_plainly(tokenizer, "abcabc", 6, expected), 2);
    free(tokens);
    heed_tokenizer_destroy(tokenizer);
}

static void a_long_word_is_no_burden(void **state) {
    (void)state;
    const size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, 'a', n);
    heed_tokenizer *tokenizer = learned("aaaa aaaa aaaa aaaa", 19, 300);
    int32_t *tokens;
    size_t n_tokens;
    heed_error error = HEED_ERROR_INIT;
    ok(heed_tokenizer_encode(tokenizer, "t", text, n, &tokens, &n_tokens, &error), &error);
    size_t bytes;
    char *back;
    ok(heed_tokenizer_decode(tokenizer, tokens, n_tokens, &back, &bytes, &error), &error);
    assert_int_equal(bytes, n);
    assert_memory_equal(back, text, n);
    assert_true(n_tokens <= n / 2);
    free(back);
    free(tokens);
    free(text);
    heed_tokenizer_destroy(tokenizer);
}

/* --- learning --------------------------------------------------------------------------------------------------- */

static void merges_of_a_known_text(void **state) {
    (void)state;
    /* aab: (a,a) and (a,b) occur 3 times each: the tie goes to (a,a); then
     * (aa,b). Then two pairs occur twice, both behind a blank: that with c comes first. */
    heed_tokenizer *tokenizer = learned("aab aab aab c c", 15, 1000);
    static const char *const pieces[] = {"aa", "aab", " c", " aab"};
    assert_int_equal(heed_tokenizer_vocab(tokenizer), 260);
    for (int32_t t = 0; t < 256; t++) {
        size_t bytes;
        assert_int_equal((unsigned char)*heed_tokenizer_piece(tokenizer, t, &bytes), t);
        assert_int_equal(bytes, 1);
    }
    for (int32_t t = 0; t < 4; t++)
        expect_piece(tokenizer, 256 + t, pieces[t]);
    heed_tokenizer_destroy(tokenizer);
    tokenizer = learned("aab aab aab c c", 15, 257);
    assert_int_equal(heed_tokenizer_vocab(tokenizer), 257);
    heed_tokenizer_destroy(tokenizer);
}

/* The definition, recounted from the start for every merge. */
static void learning_follows_the_definition(void **state) {
    (void)state;
    enum { N_TEXT = 6000, N_VOCAB = 400, N_PIECES = 256 + N_VOCAB };
    static int32_t symbol[N_TEXT], word_of[N_TEXT];
    static unsigned count[N_PIECES][N_PIECES];
    size_t n_book, n = 0;
    heed_error error = HEED_ERROR_INIT;
    char *book = read_bytes(HEED_SOURCE_DIR "/data/moby-dick.txt", &n_book);
    n_book = heedi_utf8_whole(book, N_TEXT);
    heed_tokenizer *tokenizer = learned(book, n_book, N_VOCAB);
    heedi_pretokens *pretokens;
    ok(heedi_pretokens_create(&pretokens, &error), &error);
    for (size_t at = 0, length, word = 0; at < n_book; at += length, word++) {
        length = heedi_pretokens_next(pretokens, book, n_book, at);
        for (size_t i = at; i < at + length; i++) {
            symbol[n] = (unsigned char)book[i];
            word_of[n++] = (int32_t)word;
        }
    }
    for (size_t m = 0; m < tokenizer->bpe->n_merges; m++) {
        memset(count, 0, sizeof count);
        int32_t left = 0, right = 0;
        for (size_t i = 0; i + 1 < n; i++)
            if (word_of[i] == word_of[i + 1])
                count[symbol[i]][symbol[i + 1]]++;
        for (int32_t a = 0; a < N_PIECES; a++)
            for (int32_t b = 0; b < N_PIECES; b++)
                if (count[a][b] > count[left][right]) {
                    left = a;
                    right = b;
                }
        assert_int_equal(tokenizer->bpe->pair[2 * m], left);
        assert_int_equal(tokenizer->bpe->pair[2 * m + 1], right);
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            const bool joins = i + 1 < n && word_of[i] == word_of[i + 1] && symbol[i] == left && symbol[i + 1] == right;
            symbol[kept] = joins ? tokenizer->bpe->result[m] : symbol[i];
            word_of[kept++] = word_of[i];
            i += joins;
        }
        n = kept;
    }
    assert_int_equal(heed_tokenizer_vocab(tokenizer), N_VOCAB);
    heedi_pretokens_destroy(pretokens);
    heed_tokenizer_destroy(tokenizer);
    free(book);
}

/* A whole book: exactly back, shorter, the same merges from the store, the same tokens in pieces as in one. */
static void moby_dick_comes_back(void **state) {
    (void)state;
    size_t n_book, n_text, n_tokens;
    heed_error error = HEED_ERROR_INIT;
    char *book = read_bytes(HEED_SOURCE_DIR "/data/moby-dick.txt", &n_book);
    assert_true(n_book > HEEDI_PIECE_BYTES);
    heed_corpus *corpus;
    const char *path = HEED_SOURCE_DIR "/data/moby-dick.txt";
    bool matches;
    ok(heed_corpus_prepare_vocab("moby.h5", &path, 1, HEED_TOKENIZER_BPE, 1000, 0.1, &error), &error);
    ok(heed_corpus_open(&corpus, "moby.h5", &error), &error);
    const heed_tokenizer *stored = heed_corpus_tokenizer(corpus);
    heed_tokenizer *tokenizer = learned(book, n_book, 1000);
    assert_true(heed_tokenizer_same(stored, tokenizer));
    assert_int_equal(heed_tokenizer_vocab(stored), 1000);
    int32_t *tokens;
    ok(heed_tokenizer_encode(stored, "t", book, n_book, &tokens, &n_tokens, &error), &error);
    assert_true(n_tokens < n_book / 2);
    size_t n_train, n_valid;
    int32_t *train = tokens_of(corpus, HEED_TRAIN, &n_train), *valid = tokens_of(corpus, HEED_VALID, &n_valid);
    assert_int_equal(n_train + n_valid, n_tokens);
    assert_memory_equal(train, tokens, n_train * sizeof *tokens);
    assert_memory_equal(valid, tokens + n_train, n_valid * sizeof *tokens);
    char *text;
    ok(heed_tokenizer_decode(stored, tokens, n_tokens, &text, &n_text, &error), &error);
    assert_int_equal(n_text, n_book);
    assert_memory_equal(text, book, n_book);
    ok(heed_corpus_matches_vocab("moby.h5", &path, 1, HEED_TOKENIZER_BPE, 1000, 0.1, &matches, &error), &error);
    assert_true(matches);
    ok(heed_corpus_matches_vocab("moby.h5", &path, 1, HEED_TOKENIZER_BPE, 1001, 0.1, &matches, &error), &error);
    assert_false(matches);
    free(train);
    free(valid);
    free(text);
    free(tokens);
    free(book);
    heed_tokenizer_destroy(tokenizer);
    heed_corpus_close(corpus);
}

/* --- GPT-2's files ------------------------------------------------------------------------------------------------ */

#define G "\xC4\xA0" /* U+0120, GPT-2's blank */
#define MORE                                                                                                           \
    "\"he\": 256, \"ll\": 257, \"hell\": 258, \"hello\": 259, \"" G "hello\": 260, \"\xC3\x83\xC2\xA9\": 261, "        \
    "\"<|endoftext|>\": 262"
#define MERGES "#version: 0.2\nh e\nl l\nhe ll\nhell o\n" G " hello\n\xC3\x83 \xC2\xA9\n"

static void gpt2_files_are_read(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer, *again;
    write_encoder(MORE);
    write_text("vocab.bpe", MERGES);
    ok(heed_tokenizer_of_gpt2(&tokenizer, "encoder.json", "vocab.bpe", &error), &error);
    assert_int_equal(heed_tokenizer_vocab(tokenizer), 263);
    assert_int_equal(heed_tokenizer_mark(tokenizer, "<|endoftext|>"), 262);
    static const char text[] = "hello hello!\xC3\xA9<|endoftext|>\n";
    int32_t *tokens;
    size_t n, bytes;
    char *back;
    ok(heed_tokenizer_encode(tokenizer, "t", text, sizeof text - 1, &tokens, &n, &error), &error);
    assert_int_equal(n, 4 + 13 + 1);
    /* In GPT-2's own vocabulary "!" is 0 and "\n" 198, too. */
    assert_true(tokens[0] == 259 && tokens[1] == 260 && tokens[2] == 0 && tokens[3] == 261);
    assert_true(tokens[4] == 27 && tokens[n - 1] == 198);
    ok(heed_tokenizer_decode(tokenizer, tokens, n, &back, &bytes, &error), &error);
    assert_string_equal(back, text);
    heed_store *store;
    ok(heed_store_create(&store, "gpt2.h5", &error), &error);
    ok(heed_tokenizer_write(tokenizer, store, "/tokenizer", &error), &error);
    ok(heed_store_seal(store, &error), &error);
    ok(heed_store_open(&store, "gpt2.h5", true, &error), &error);
    ok(heed_tokenizer_read(&again, store, "/tokenizer", &error), &error);
    heed_store_close(store);
    assert_true(heed_tokenizer_same(tokenizer, again));
    free(back);
    free(tokens);
    heed_tokenizer_destroy(tokenizer);
    heed_tokenizer_destroy(again);
}

static void faults_of_gpt2_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *more, *merges, *message;
    } cases[] = {
        {"\"he\": 257", "h e\n", "encoder.json: the numbers of its 257 pieces are not 0 to 256, each once"},
        {"\"he\": \"x\"", "h e\n", "encoder.json: the numbers of its 257 pieces"},
        {"\"he\": 256", "h e\nhe\n", "vocab.bpe:2: expected two pieces with a blank between them"},
        {"\"he\": 256", "h e\nh e x\n", "vocab.bpe:2: expected two pieces with a blank between them"},
        {"\"he\": 256", "h e\nl l\n", "vocab.bpe:2: a piece, or what both make, is not in encoder.json"},
        {"\"he\": 256", "h e\nh e\n", "encoder.json: token 256 is the last one: two merges join the same pair"},
        {"\"<x>\": 256, \"he\": 257", "h e\n",
         "encoder.json: piece 256 is made by no merge, but is not behind all that are"},
        {"\"\xE2\x82\xAC\": 256", "", "encoder.json: piece 256 has a character that stands for no byte"},
        {"\"he\": 256,", "h e\n", "encoder.json:1: "},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        heed_error error = HEED_ERROR_INIT;
        heed_tokenizer *tokenizer;
        write_encoder(cases[c].more);
        write_text("vocab.bpe", cases[c].merges);
        assert_int_equal(heed_tokenizer_of_gpt2(&tokenizer, "encoder.json", "vocab.bpe", &error), HEED_DATA);
        assert_true(strncmp(error.message, cases[c].message, strlen(cases[c].message)) == 0 ||
                    (print_error("%s\n", error.message), false));
        assert_null(tokenizer);
    }
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    assert_int_equal(heed_tokenizer_of_gpt2(&tokenizer, "nothing.json", "vocab.bpe", &error), HEED_NOT_FOUND);
    error = (heed_error)HEED_ERROR_INIT;
    write_text("array.json", "[1]");
    assert_int_equal(heed_tokenizer_of_gpt2(&tokenizer, "array.json", "vocab.bpe", &error), HEED_DATA);
    error = (heed_error)HEED_ERROR_INIT;
    write_encoder("\"he\": 256");
    assert_int_equal(heed_tokenizer_of_gpt2(&tokenizer, "encoder.json", "nothing.bpe", &error), HEED_NOT_FOUND);
}

/* --- hostile files ------------------------------------------------------------------------------------------------ */

static void merges_of_a_file_are_checked(void **state) {
    (void)state;
    static const struct {
        int32_t pair[4];
        const char *message;
    } cases[] = {
        {{'h', 'e', 256, 'y'}, "/tokenizer: token 256 is joined with another one to something that is no token"},
        {{'h', 'e', 257, 'y'}, "/tokenizer/merges[1][0] = 257: expected a token below 257"},
        {{'h', 'e', 'y', -1}, "/tokenizer/merges[1][1] = -1: expected a token below 257"},
        {{'h', 'e', 'h', 'e'}, "/tokenizer: token 256 is the last one: two merges join the same pair"},
        {{'h', 'e', 0, 0}, NULL}, /* one merge alone: as it should be */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        heed_error error = HEED_ERROR_INIT;
        heed_store *store;
        heed_tokenizer *tokenizer;
        int32_t first[258];
        unsigned char bytes[258];
        for (int i = 0; i < 257; i++)
            first[i] = i;
        for (int i = 0; i < 256; i++)
            bytes[i] = (unsigned char)i;
        bytes[256] = 'h';
        bytes[257] = 'e';
        first[257] = 258;
        const size_t n_first = 258, n_bytes = 258, dims[] = {cases[c].message ? 2 : 1, 2};
        ok(heed_store_create(&store, "merges.h5", &error), &error);
        ok(heed_store_write(store, "/tokenizer/first", HEED_TYPE_INT32, 1, &n_first, first, false, &error), &error);
        ok(heed_store_write(store, "/tokenizer/bytes", HEED_TYPE_UINT8, 1, &n_bytes, bytes, false, &error), &error);
        ok(heed_store_write(store, "/tokenizer/merges", HEED_TYPE_INT32, 2, dims, cases[c].pair, false, &error),
           &error);
        ok(heed_store_write_text(store, "/tokenizer", "kind", "bpe", &error), &error);
        ok(heed_store_seal(store, &error), &error);
        ok(heed_store_open(&store, "merges.h5", true, &error), &error);
        const heed_status status = heed_tokenizer_read(&tokenizer, store, "/tokenizer", &error);
        heed_store_close(store);
        assert_int_equal(status, cases[c].message ? HEED_DATA : HEED_OK);
        if (cases[c].message)
            assert_string_equal(error.message + strlen("merges.h5: "), cases[c].message);
        else
            heed_tokenizer_destroy(tokenizer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_as_gpt2_cuts_it),
        cmocka_unit_test(pieces_do_not_change_pretokens),
        cmocka_unit_test(joining_follows_gpt2),
        cmocka_unit_test(a_round_is_finished_before_the_next),
        cmocka_unit_test(a_long_word_is_no_burden),
        cmocka_unit_test(merges_of_a_known_text),
        cmocka_unit_test(learning_follows_the_definition),
        cmocka_unit_test(moby_dick_comes_back),
        cmocka_unit_test(gpt2_files_are_read),
        cmocka_unit_test(faults_of_gpt2_files_are_named),
        cmocka_unit_test(merges_of_a_file_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

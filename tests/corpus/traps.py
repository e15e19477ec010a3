"""What engines do that a simple reader of usage would misbill, one name each.

Every trap has at least one case in the corpus.
"""

from enum import StrEnum


class Trap(StrEnum):
    """A trap, with what there is to know about it."""

    # Where and when usage appears
    KEY_ABSENT_OR_NULL = (
        "before the last chunk `usage` is absent from some engines' chunks and null in others'"
    )
    CACHED_ONLY_AT_THE_END = "running usage has no cached tokens; only the chunk without choices has"
    RUNNING_PER_CHOICE = "running counts are for each choice, the final ones for all"
    SERVER_FORCES_USAGE = "a server may send running and final usage over the client's explicit no"
    RUNNING_WITHOUT_FINAL = "a server may send running usage and then no final one"
    NO_CHOICES_NO_USAGE = "a chunk without choices need not carry usage"
    USAGE_ELSEWHERE = "usage may come with the finish reason, inside a choice or in a vendor's member"
    ZERO_PLACEHOLDERS = "chunks before the last may carry usage that is all zeros"
    USAGE_UNASKED = "usage may come in every chunk without being asked for, with a prompt of 0 at first"
    USAGE_PER_PROMPT = "each of several prompts may have its own usage on its last chunk"
    FINAL_USAGE_PER_PROMPT = "each of several prompts may have its own final usage chunk, with its own id"
    COUNTS_ARE_DIFFERENCES = "output tokens may be counted from the last response while input tokens repeat"
    TERMINAL_EVENT_ONLY = "usage is null until a terminal event, which may be one of failure"
    USAGE_ON_EVERY_POLL = "a stored response repeats its usage whenever it is fetched"
    USAGE_IN_A_METADATA_HEADER = "an answer of raw bytes has its usage in a header, or nowhere"
    COUNTS_IN_HEADERS = "counts may stand in headers alone, and nowhere for a stream"
    STREAM_NEVER_COUNTS = "a compatible stream may say that it is done and never give counts"
    DONE_WITHOUT_COUNTS = "loading a model ends with done and no counts; a legacy path never counts"
    COUNTS_THAT_ARE_NO_INFERENCE = "utility calls return counts of tokens that no model has seen"
    SEVERAL_APIS_ON_ONE_PATH = "one path carries several APIs"
    SECONDS_ARE_NO_TOKENS = "audio may be counted in seconds"
    SOCKETS_CARRY_MANY_USAGES = "a WebSocket carries many usages"

    # Meaning of the numbers
    CACHE_IS_OUTSIDE_INPUT = (
        "cache reads and writes are outside the input tokens; their breakdown is no addition"
    )
    DELTA_REPEATS_START = "a cumulative delta repeats what the start said"
    INPUT_IS_CORRECTED = "the input tokens of the start may be an estimate, or lack the cache's share"
    START_INCLUDES_CACHE = "the start may count the cached tokens that the delta adds"
    TIMINGS_EXCLUDE_CACHE = "timings count the prompt without its cached part; tokens_cached is no cache hit"
    INPUT_CHANGED_MEANING = "older builds count the whole prompt as input, newer ones take the cache off"
    PROMPT_NEVER_SAID = "a prompt of 0 tokens may mean that nobody counted it"
    BAD_DETAILS = "details may be no object, or no counts, beside counts that are good"
    CACHED_AT_THE_TOP = "cached tokens may stand at the top of the usage"
    OMITTED_IS_UNKNOWN = "a count that is left out is unknown, not zero"
    HARD_CODED_ZEROS = "details may be zeros that nothing counted"
    CACHED_UNKNOWN = "cached tokens may be null, absent, or without their object"
    CACHED_OF_ONE_PROMPT = "with several prompts the cached tokens may be of one of them"
    FIRST_RESULT_ONLY = "with several results usage may be of the first; chunks of all may share one id"
    CACHED_EXCEEDS_PROMPT = "cached tokens may exceed the prompt's"
    REASONING_TWICE = "reasoning tokens come twice, or outside the completion"
    TURNS_REPEAT_TOTALS = "counts per turn repeat the totals"
    ITERATIONS_OUTSIDE_TOTALS = "a compaction's tokens are outside the totals"
    SEVERAL_MODELS = "one answer may have used several models, and the totals are of one of them"
    COUNTS_ARE_FLOATS = "counts may be integral floats, and given twice"
    PROMPT_IS_ADJUSTED = "engines may take tokens off the prompt or add an encoder's"
    HIDDEN_GENERATIONS = "an engine may generate more than it reports"
    CUT_RESULTS = "results that were cut off take their counts with them"
    PROMPT_ONCE_PER_PROMPT = "with several choices the prompt counts once; the total is no check"

    # The model's name
    CLIENT_NAMES_THE_MODEL = "an engine may repeat whatever name it was sent"
    ALIAS_AND_ADAPTER = "an engine may answer with another name than was asked for"
    NAME_DEPENDS_ON_PATH = "whose name it is depends on engine and path"
    NO_NAME = "the answer may name no model"
    EMPTY_NAME = "an empty name may come after a good one, and a dated one instead of the one asked for"

    # Errors, truncation, disconnection
    ERROR_IN_A_GOOD_STREAM = "errors come inside streams with status 200"
    ERROR_AND_USAGE = "usage may follow an error"
    DROPPED_CONNECTION = "an engine that fails may just drop the connection"
    SWALLOWED_ERROR = "a stream may end in an empty chunk and nothing more"
    TYPED_STREAM_BREAKS = "a stream of typed events may break off"
    STREAM_REFUSED = "a request for a stream may get a document"
    ABORT_IS_NEVER_REPORTED = "what was generated before an abort is known from running usage alone"
    CUT_INSIDE_A_NUMBER = "half a number is a number; a last line may have no end"

    # Transport
    LOOSE_SPACES = "the space after the colon is optional, and there may be one behind the data"
    KEEP_ALIVES = "keep-alives and annotations are comments or events of their own"
    EVENT_AND_DATA_LINES = "events may have names, and data over several lines"
    ESCAPES = "a name may be escaped, and content may look like usage"
    COMPRESSED_ANSWER = "an answer may be compressed"
    REQUEST_IS_NOT_PLAIN = "a request may be compressed, a form, or ask for a stream in other words"
    OTHER_PROTOCOLS = "the same server may speak gRPC"
    CLOSE_LOOKS_COMPLETE = "a connection's close looks like the end of a body without length"
    LABEL_IS_WRONG = "a label may say another form or another coding than the body has"
    NEARLY_JSON = "a document may be no JSON somewhere, or no UTF-8"
    CLIENTS_PAD = "engines repeat what clients choose, so that an event may have megabytes"
    BIG_BODIES = "events and documents may be large"

    # Asking for usage
    ASK_ONLY_STREAMS = "stream options without a stream are an error"
    ADDED_CHUNK_IS_FOR_NOBODY = "clients crash on the usage chunk they did not ask for"
    EMPTY_CHOICE = "the added usage may come on a choice that is empty"
    SWITCH_ELSEWHERE = "what asks for counts may stand in one of two places, and not in both"
    MERGE_OPTIONS = "options the client gave stay as they are"
    FORCED_USAGE_CHANGES_NOTHING_MORE = "what the server sends unasked is the client's"
    OTHER_FLAGS = "other APIs have flags of their own"

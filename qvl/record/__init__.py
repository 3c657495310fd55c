"""What a record holds: one JSON object, the chat messages inside it, and what may be wrong with it.

A record is a plain dict (qvl-records(5)). A stage adds fields, never renames them, keeps those that
it does not know, and keeps the order.
"""

from qvl.record.reading import conversation_text as conversation_text
from qvl.record.reading import final as final
from qvl.record.reading import final_text as final_text
from qvl.record.reading import images as images
from qvl.record.reading import media as media
from qvl.record.reading import media_kind as media_kind
from qvl.record.reading import modality as modality
from qvl.record.reading import prompt as prompt
from qvl.record.reading import prompt_text as prompt_text
from qvl.record.reading import question as question
from qvl.record.reading import sizes as sizes
from qvl.record.reading import text as text
from qvl.record.reading import turns as turns
from qvl.record.reading import videos as videos
from qvl.record.reading import without_format_prompt as without_format_prompt
from qvl.record.scores import scores_of as scores_of
from qvl.record.scores import with_scores as with_scores
from qvl.record.types import MEDIA as MEDIA
from qvl.record.types import ROLES as ROLES
from qvl.record.types import Message as Message
from qvl.record.types import Record as Record
from qvl.record.types import Response as Response
from qvl.record.validation import check as check
from qvl.record.validation import problems as problems

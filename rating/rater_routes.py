"""The routes of raters: JSON for the rating page, and the pictures.

Which item comes next, and what may be seen of it, is decided by `RatingDesk` alone. Every route
asks first who is there.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from rating.access import COOKIE, Access, Visitor
from rating.errors import AccessError, AnswerError, RaterError, StaleError, StudyStateError
from rating.guarded_route import NEVER_KEPT, GuardedRoute, json_body
from rating.study.desk import RatingDesk, Saved
from rating.study.submission import StepSubmission, read_submission

API: Final = "/rate/api"
IMAGES: Final = "/rate/image"
LONGEST_REMARK: Final = 4_000
LONGEST_NAME: Final = 200
# The same for every picture, so that nothing but the picture differs.
IMAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Disposition": "inline",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SHOWN_PHASES: Final = {"paused", "locked", "withdrawn"}


def make_rater_router(desk: RatingDesk, access: Access) -> APIRouter:
    """Return the routes under `/rate/api` and `/rate/image`."""
    router = APIRouter(route_class=GuardedRoute)

    def rater_of(request: Request) -> int:
        return rater_id_of(access.require_rater(request))

    RaterId = Annotated[int, Depends(rater_of)]  # noqa: N806  # a type

    async def body_of(request: Request, _rater: RaterId) -> object:
        return await json_body(request)

    Body = Annotated[object, Depends(body_of)]  # noqa: N806  # a type

    def told(rater_id: int, act: Callable[[], dict[str, Any]]) -> Response:
        """Return what an act says; where it no longer fits, also where the rater stands now."""
        try:
            return JSONResponse(act(), headers=NEVER_KEPT)
        except (StaleError, StudyStateError, RaterError) as error:
            return _stale_answer(error, desk.state(rater_id))

    @router.get(f"{API}/state")
    def state(rater_id: RaterId) -> Response:
        return JSONResponse(desk.state(rater_id), headers=NEVER_KEPT)

    @router.post(f"{API}/consent")
    def consent(rater_id: RaterId, body: Body) -> Response:
        values = fields_of(body, consent_sha256=str, is_agreed=bool, is_independent=bool)
        if not values["is_agreed"]:
            raise AnswerError("Without consent there is no rating.", {"is_agreed": "Required."})
        sha256, is_independent = values["consent_sha256"], values["is_independent"]
        return told(rater_id, lambda: desk.consent(rater_id, sha256, is_independent))

    @router.post(f"{API}/profile")
    def profile(rater_id: RaterId, body: Body) -> Response:
        values = fields_of(body, specialty=str, years_experience=int)
        specialty, years = values["specialty"], values["years_experience"]
        return told(rater_id, lambda: desk.profile(rater_id, specialty, years))

    def saved_by(
        act: Callable[[int, StepSubmission], Saved], rater_id: int, body: object
    ) -> Response:
        submission = read_submission(body)

        def save() -> dict[str, Any]:
            saved = act(rater_id, submission)
            return {"result": saved.result, "state": saved.state}

        return told(rater_id, save)

    @router.post(f"{API}/answers")
    def answers(rater_id: RaterId, body: Body) -> Response:
        return saved_by(desk.answer, rater_id, body)

    @router.post(f"{API}/revise")
    def revise(rater_id: RaterId, body: Body) -> Response:
        return saved_by(desk.revise, rater_id, body)

    @router.get(f"{API}/items/{{token}}")
    def item(rater_id: RaterId, token: str) -> Response:
        return told(rater_id, lambda: {"item": desk.item(rater_id, token)})

    @router.post(f"{API}/closing")
    def closing(rater_id: RaterId, body: Body) -> Response:
        remark = fields_of(body, remark=str)["remark"]
        return told(rater_id, lambda: desk.closing(rater_id, remark))

    @router.post(f"{API}/withdraw")
    def withdraw(rater_id: RaterId, body: Body) -> Response:
        is_erasing = fields_of(body, is_erasing=bool)["is_erasing"]
        return told(rater_id, lambda: desk.withdraw(rater_id, is_erasing))

    @router.post(f"{API}/sign-out")
    def sign_out(request: Request, _rater: RaterId, _body: Body) -> Response:
        access.sign_out(request.cookies)
        answer = JSONResponse({"result": "signed_out"}, headers=NEVER_KEPT)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @router.get(f"{IMAGES}/{{token}}.png")
    def image(rater_id: RaterId, token: str) -> Response:
        return Response(desk.image(rater_id, token), media_type="image/png", headers=IMAGE_HEADERS)

    return router


def rater_id_of(visitor: Visitor) -> int:
    """Return the id of the rater who asks; AccessError 401 for everybody else."""
    if visitor.rater_id is None:
        raise AccessError("You are not signed in. Please open your personal link again.", 401)
    return visitor.rater_id


def fields_of(body: object, **types: type) -> dict[str, Any]:
    """Return the named fields of a JSON object, each of exactly its type and of bounded length.

    Raises:
        AnswerError: with what is wrong with each field.
    """
    if not isinstance(body, dict):
        raise AnswerError("The request is no JSON object.")
    faults = {name: f"Not known; fields are {', '.join(types)}." for name in body.keys() - types}
    for name, kind in types.items():
        if name not in body:
            faults[name] = "Missing."
        elif type(body[name]) is not kind:  # to Python, true is also the number 1
            faults[name] = f"Must be a {_KIND_NAMES[kind]}."
        elif kind is str and (fault := _text_fault(name, body[name])):
            faults[name] = fault
    if faults:
        shown = {name[:LONGEST_NAME]: fault for name, fault in list(faults.items())[:20]}
        raise AnswerError("The request has fields that cannot be used.", shown)
    return body


_KIND_NAMES: Final = {str: "text", int: "whole number", bool: "true or false"}


def _text_fault(name: str, text: str) -> str:
    limit = LONGEST_REMARK if name == "remark" else LONGEST_NAME
    if len(text) > limit:
        return f"Is {len(text)} characters long; at most {limit} are kept."
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return "Holds characters that cannot be kept."
    return ""


def _stale_answer(error: Exception, state: dict[str, Any]) -> Response:
    answer_code = getattr(error, "code", "")
    phase = str(state.get("phase", ""))
    code = answer_code or (phase if phase in _SHOWN_PHASES else "not_now")
    told = {"code": code, "message": str(error)}
    return JSONResponse({"error": told, "state": state}, 409, NEVER_KEPT)

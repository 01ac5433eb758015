"""Commands about the account: signup, verify, login, logout, whoami, credentials."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from vaultsync import config
from vaultsync.cli.call import Call, Verb
from vaultsync.core.errors import NotRunning, Retry, SignIn, Usage

if TYPE_CHECKING:
    from vaultsync.auth.challenges import Challenge
    from vaultsync.auth.tokens import Tokens
    from vaultsync.auth.userpool import UserPool

_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.command(cls=Verb)
@click.argument("email", required=False)
@_password_stdin
@click.pass_obj
def signup(call: Call, email: str | None, password_stdin: bool) -> None:
    """Create an account; a code comes by mail for `verify`."""
    pool = _pool(call)
    name = _name(call, email)
    password = _password(call, password_stdin, twice=True)
    sent_to = pool.sign_up(name, password)
    config.save(call.places.config_file, call.profile_name, {"auth.username": name})
    call.screen.result({"username": name, "code_sent_to": sent_to})
    if sent_to:
        call.screen.note(f"A code was sent to {sent_to}. Next: `vaultsync verify CODE`")
    else:
        call.screen.note("The account is ready. Next: `vaultsync login`")


@click.command(cls=Verb)
@click.argument("words", nargs=-1, metavar="[EMAIL] [CODE]")
@click.option("--resend", is_flag=True, help="Have another code sent.")
@click.pass_obj
def verify(call: Call, words: tuple[str, ...], resend: bool) -> None:
    """Confirm a new account with the code that was mailed."""
    pool = _pool(call)
    codes = [word for word in words if word.isdecimal()]
    names = [word for word in words if not word.isdecimal()]
    if len(codes) > 1 or len(names) > 1 or (resend and codes):
        raise Usage("That is more than an address and a code.", "`vaultsync verify EMAIL CODE`")
    name = _name(call, names[0] if names else None)
    if resend:
        sent_to = pool.resend(name)
        call.screen.result({"username": name, "code_sent_to": sent_to})
        call.screen.note(f"Another code was sent to {sent_to}. Next: `vaultsync verify CODE`")
        return
    code = codes[0] if codes else call.screen.ask("Code from the mail", "the code")
    pool.confirm(name, code)
    call.screen.result({"username": name})
    call.screen.note("The account is confirmed. Next: `vaultsync login`")


@click.command(cls=Verb)
@click.argument("email", required=False)
@_password_stdin
@click.option(
    "--store",
    type=click.Choice(["auto", "keyring", "file"]),
    help="Where to keep the sign-in (default: the desktop's keyring, else a file).",
)
@click.pass_obj
def login(call: Call, email: str | None, password_stdin: bool, store: str | None) -> None:
    """Sign in on this device."""
    from vaultsync.daemon import account  # noqa: PLC0415 - brings boto3

    profile = call.profile
    if store is not None:
        profile = replace(profile, auth=replace(profile.auth, store=store))  # type: ignore[arg-type]
    pool = _pool(call)
    name = _name(call, email)
    tokens = _signed_in(call, pool, name, _password(call, password_stdin))
    # Chosen once: `auto` must not lead somewhere else when the desktop is not there.
    place = account.secret_store(profile, call.places)
    profile = replace(profile, auth=replace(profile.auth, store=place.name))  # type: ignore[arg-type]
    account.session(profile, call.places).sign_in(tokens)
    settings = {"auth.username": name, "auth.store": place.name}
    config.save(call.places.config_file, call.profile_name, settings)
    with suppress(NotRunning):
        call.client.sync()
    claims = tokens.claims
    call.screen.result({"username": name, "sub": claims.sub, "store": place.name})
    call.screen.note(f"Signed in as {name}; the sign-in is kept in {place.place}.")


def _signed_in(call: Call, pool: UserPool, name: str, password: str) -> Tokens:
    """Sign in, asking the person whatever the pool asks."""
    from vaultsync.auth.challenges import Challenge  # noqa: PLC0415 - brings boto3
    from vaultsync.auth.errors import WeakPassword, WrongCode  # noqa: PLC0415

    outcome = pool.login(name, password)
    while isinstance(outcome, Challenge):
        answer, attributes = _answer(call, outcome)
        try:
            outcome = pool.answer(outcome, answer, attributes)
        except (WrongCode, WeakPassword) as error:
            call.screen.warn(f"{error.message} {error.hint}".strip())
    return outcome


def _answer(call: Call, challenge: Challenge) -> tuple[str, dict[str, str]]:
    """Ask one question of the pool; returns the answer and attributes that go with it."""
    from vaultsync.auth.challenges import Ask  # noqa: PLC0415

    instead = "the answer on a terminal: run `vaultsync login` there"
    if challenge.secret:
        call.screen.note(f"Secret for the authenticator app: {challenge.secret}")
    if challenge.choices and challenge.ask is Ask.SELECT:
        call.screen.note(f"One of: {', '.join(challenge.choices)}")
    new_password = challenge.ask is Ask.NEW_PASSWORD
    answer = call.screen.ask(challenge.question, instead, hidden=new_password, twice=new_password)
    attributes = {name: call.screen.ask(name, instead) for name in challenge.required}
    return answer, attributes


@click.command(cls=Verb)
@click.option("--everywhere", is_flag=True, help="Sign out on every device.")
@click.pass_obj
def logout(call: Call, everywhere: bool) -> None:
    """Sign out on this device; no file is touched."""
    from vaultsync.daemon import account  # noqa: PLC0415 - brings boto3

    profile = call.profile
    if account.secret_store(profile, call.places).read() is None:
        raise SignIn("Nobody is signed in.", "Sign in with `vaultsync login`.")
    try:
        account.session(profile, call.places).sign_out(everywhere=everywhere)
    except Retry as error:
        call.screen.warn(f"{error.message} {error.hint}".strip())
    with suppress(NotRunning):
        call.client.sync()
    call.screen.result({"username": profile.auth.username, "everywhere": everywhere})
    call.screen.note("Signed out on every device." if everywhere else "Signed out.")


@click.command(cls=Verb)
@click.pass_obj
def whoami(call: Call) -> None:
    """Show who is signed in."""
    from vaultsync.daemon import account  # noqa: PLC0415 - brings boto3

    profile = call.profile
    store = account.secret_store(profile, call.places)
    if store.read() is None:
        raise SignIn("Nobody is signed in.", "Sign in with `vaultsync login`.")
    session = account.session(profile, call.places)
    claims = session.claims
    told = {
        "username": claims.username,
        "email": claims.email,
        "sub": claims.sub,
        "identity_id": session.identity_id,
        "store": store.name,
    }
    call.screen.result(told, [claims.email or claims.username])
    call.screen.note(f"Identity {session.identity_id}; the sign-in is kept in {store.place}.")


@click.command(cls=Verb)
@click.pass_obj
def credentials(call: Call) -> None:
    """Print temporary AWS credentials, for `credential_process` in ~/.aws/config."""
    from vaultsync.daemon import account  # noqa: PLC0415 - brings boto3

    told = account.session(call.profile, call.places).credential_process()
    call.screen.result(told, [json.dumps(told)])


def _pool(call: Call) -> UserPool:
    from vaultsync.daemon import account  # noqa: PLC0415 - brings boto3

    return account.user_pool(call.profile.cloud)


def _name(call: Call, given: str | None) -> str:
    """Who is meant: as given, as signed in last, or as a person answers."""
    known = given or call.profile.auth.username
    return known or call.screen.ask("E-mail address", "the e-mail address")


def _password(call: Call, from_stdin: bool, *, twice: bool = False) -> str:
    """The password; never an argument, which everybody on the machine could read."""
    if not from_stdin:
        return call.screen.ask("Password", "--password-stdin", hidden=True, twice=twice)
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Usage("There is no password on standard input.", "Write it there as one line.")
    return password

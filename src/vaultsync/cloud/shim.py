"""The local cloud's server: ministack, with the checks that keep one person's files from another's.

Run as a program by `cloud.local`, with the listening socket and a lock as inherited descriptors:
`python -m vaultsync.cloud.shim`. What ministack 1.5.33 leaves out, and AWS does:

- variables in IAM policies (`${cognito-identity.amazonaws.com:sub}`) are expanded, and the
  condition keys sub, aud and amr of an identity pool's credentials have values;
- a role is given only to whom its trust policy names, and guests only where the pool has guests;
- an S3 request without credentials is nobody's, not the account root's;
- who may list only below a prefix learns of a missing key by 403, not by 404.

The patched names are internals: the version is pinned, and `cloud.local` tests at every start that
one's own prefix is allowed and another's refused.
"""

# ruff: noqa: SLF001 - the gaps are in ministack's internals, and so are the patches

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app as ministack
from ministack.core import iam_evaluator as evaluator
from ministack.core import router
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import cognito, iam, s3, sts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PROVIDER = "cognito-identity.amazonaws.com"
_ANONYMOUS = evaluator.EvalResult("ImplicitDeny", principal_arn="anonymous")


def _condition_keys(session: dict[str, Any]) -> dict[str, Any]:
    """The condition keys of credentials that an identity pool gave out."""
    return {
        f"{_PROVIDER}:sub": session["_identity_id"],
        f"{_PROVIDER}:aud": session["_identity_pool_id"],
        f"{_PROVIDER}:amr": session["_cognito_amr"],
    }


def _expand(value: Any, keys: dict[str, Any]) -> Any:
    """A part of a policy with its variables replaced; an unknown one stays and matches nothing."""
    if isinstance(value, str):
        for name, content in keys.items():
            if isinstance(content, str):
                value = value.replace(f"${{{name}}}", content)
        return value
    if isinstance(value, list):
        return [_expand(item, keys) for item in value]
    if isinstance(value, dict):
        return {key: _expand(item, keys) for key, item in value.items()}
    return value


def _expand_policies(policies: Any, keys: dict[str, Any]) -> Any:
    """The same lists of statements, their resources and conditions expanded."""
    if isinstance(policies, list):
        return [_expand_policies(part, keys) for part in policies]
    return replace(
        policies,
        resources=_expand(policies.resources, keys),
        not_resources=_expand(policies.not_resources, keys),
        conditions=_expand(policies.conditions, keys),
    )


def _with_variables(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `resolve_principal`: an identity pool's credentials bring their condition keys along."""

    def resolve_principal(access_key_id: str, account_id: str, credential: Any = None) -> Any:
        principal = resolve(access_key_id, account_id, credential)
        session = sts._sessions.get(access_key_id) or {}
        if isinstance(principal, evaluator.AuthError) or "_identity_id" not in session:
            return principal
        keys = _condition_keys(session)
        return replace(
            principal,
            policies=_expand_policies(principal.policies, keys),
            limits=_expand_policies(principal.limits, keys),
            keys={**principal.keys, **keys},
        )

    return resolve_principal


def _without_anonymous_files(enforce: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `enforce`: an S3 request without credentials is refused (no vault has a public file)."""

    def checked(access_key_id: str, iam_action: str, service: str, *rest: Any, **named: Any) -> Any:
        if service == "s3" and not access_key_id:
            return _ANONYMOUS
        return enforce(access_key_id, iam_action, service, *rest, **named)

    return checked


def _across_lines(compiled: Callable[..., re.Pattern[str]]) -> Callable[..., re.Pattern[str]]:
    """Wrap the compiler of policies' patterns: a wildcard stands for a line break, too."""

    def compile_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        found = compiled(pattern, ignore_case)
        return re.compile(found.pattern, found.flags | re.DOTALL)

    return compile_pattern


def _without_hints(handle: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Wrap S3's handler: 404 tells that a key is missing only to those who may list the bucket.

    A person may do that only with a prefix, which HEAD and GET have not. (The same is true on AWS.)
    That an upload is gone, everybody is told who asks for its parts.
    """

    async def handle_request(
        method: str, path: str, headers: Any, body: bytes, query: Any, *rest: Any, **named: Any
    ) -> Any:
        answer = await handle(method, path, headers, body, query, *rest, **named)
        session = sts._sessions.get(router.extract_access_key_id(headers, query)) or {}
        missing = answer[0] == 404 and "uploadId" not in query
        if method in ("GET", "HEAD") and missing and "_identity_id" in session:
            denied = s3._error("AccessDenied", "Access Denied", 403)
            return denied if method == "GET" else (*denied[:2], b"")
        return answer

    return handle_request


def _pool_of(identity_id: str) -> dict[str, Any] | None:
    """The identity pool that an identity belongs to."""
    pools = cognito._identity_pools.values()
    return next((pool for pool in pools if identity_id in pool.get("_identities", {})), None)


def _trusted(pool: dict[str, Any], identity_id: str, logins: dict[str, str]) -> bool:
    """Whether the role that a pool names for these logins trusts the pool's identities."""
    flavour = "authenticated" if logins else "unauthenticated"
    role_arn = pool.get("_roles", {}).get(flavour, "")
    role = iam._roles.get(role_arn.rpartition("/")[2])
    if role is None:
        return False
    amr, _ = cognito._identity_login_fields(logins)
    session = {
        "_identity_id": identity_id,
        "_identity_pool_id": pool["IdentityPoolId"],
        "_cognito_amr": amr,
    }
    context = evaluator.EvalContext(
        principal_arn=_PROVIDER,
        principal_type="WebIdentityUser",
        principal_account=get_account_id(),
        action="sts:AssumeRoleWithWebIdentity",
        resource_arn=role_arn,
        region=get_region(),
        service_context=_condition_keys(session),
    )
    trust = role.get("AssumeRolePolicyDocument", "{}")
    return bool(evaluator.evaluate_trust_policy(trust, _PROVIDER, context))


def _no_guests(get_id: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Wrap GetId: a pool without guests gives no identity to one who is not signed in."""

    def checked(data: dict[str, Any]) -> Any:
        pool = cognito._identity_pools.get(data.get("IdentityPoolId"))
        if pool and not data.get("Logins") and not pool.get("AllowUnauthenticatedIdentities"):
            message = "Unauthenticated access is not supported for this identity pool."
            return error_response_json("NotAuthorizedException", message, 400)
        return get_id(data)

    return checked


def _trusted_credentials(
    give: Callable[[dict[str, Any]], Any], seconds: int | None
) -> Callable[[dict[str, Any]], Any]:
    """Wrap GetCredentialsForIdentity: check the role's trust, and shorten the lifetime if asked."""

    def checked(data: dict[str, Any]) -> Any:
        identity_id = data.get("IdentityId", "")
        pool = _pool_of(identity_id)
        if pool is None:
            message = f"Identity '{identity_id}' not found."
            return error_response_json("ResourceNotFoundException", message, 400)
        response = give(data)
        status, headers, body = response
        if status != 200:
            return response
        answer = json.loads(body)
        key = answer["Credentials"]["AccessKeyId"]
        if not _trusted(pool, answer["IdentityId"], data.get("Logins") or {}):
            del sts._sessions[key]
            message = "Invalid identity pool configuration. Check assigned IAM roles for this pool."
            return error_response_json("InvalidIdentityPoolConfigurationException", message, 400)
        if seconds is None:
            return response
        expiration = int(time.time()) + seconds
        sts._sessions[key]["Expiration"] = expiration
        answer["Credentials"]["Expiration"] = expiration
        return status, headers, json.dumps(answer).encode()

    return checked


def _mend(seconds: int | None) -> None:
    """Put the wrappers in place.

    Args:
        seconds: Lifetime of an identity pool's credentials; None for AWS's hour.
    """
    evaluator.resolve_principal = _with_variables(evaluator.resolve_principal)
    evaluator._fnmatch_compile = _across_lines(evaluator._fnmatch_compile)
    evaluator.enforce = _without_anonymous_files(evaluator.enforce)
    s3.handle_request = _without_hints(s3.handle_request)
    cognito._get_id = _no_guests(cognito._get_id)
    give = cognito._get_credentials_for_identity
    cognito._get_credentials_for_identity = _trusted_credentials(give, seconds)


async def _serve(listener: int) -> None:
    """Serve until SIGTERM or SIGINT, or until the parent's end of our standard input closes."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    config = Config()
    config.bind = [f"fd://{listener}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.loglevel = "WARNING"
    await serve(ministack.app, config, shutdown_trigger=stop.wait)
    loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """Serve the local cloud on the inherited socket, until told to stop or orphaned."""
    seconds = os.environ.get("VAULTSYNC_CREDENTIAL_SECONDS", "")
    _mend(int(seconds) if seconds else None)
    asyncio.run(_serve(int(os.environ["VAULTSYNC_LISTENER"])))


if __name__ == "__main__":
    main()

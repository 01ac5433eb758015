"""The configuration: TOML to frozen dataclasses, and back without losing a comment.

The file holds one table per profile, `[profile.NAME]`, with the tables below inside. The
dataclasses are the whole list of settings: an unknown key is an error. A setting is taken from the
first of: a flag, the environment (`VAULTSYNC_FOLDER_PATH` is `folder.path`), the profile, the
default.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin, get_type_hints

from vaultsync.core.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX_FIELDS = ("identity_id", "sub", "username")
"""What may stand in braces in `cloud.prefix`."""

DEFAULT = "default"
"""The profile that is meant when none is named."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class Origin(StrEnum):
    """Where the value of a setting came from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    PROFILE = "profile"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where a vault lives: the outputs of the backend's template.

    Attributes:
        region: AWS region of the pools and the bucket.
        user_pool_id: Cognito user pool.
        client_id: App client of the user pool.
        client_secret: Its secret; empty for a public client (the usual case).
        identity_pool_id: Cognito identity pool.
        bucket: Name of the bucket.
        bucket_region: Its region when it differs from `region`; else empty.
        prefix: Template of the user's prefix; `{identity_id}`, `{sub}` and `{username}` are
            filled in.
        endpoint_url: One endpoint for all services (the local cloud); empty for AWS.
    """

    region: str
    user_pool_id: str
    client_id: str
    identity_pool_id: str
    bucket: str
    client_secret: str = ""
    bucket_region: str = ""
    prefix: str = "private/{identity_id}/"
    endpoint_url: str = ""

    def __post_init__(self) -> None:
        """Check what would otherwise fail far away from its cause."""
        unknown = set(re.findall(r"{([^{}]*)}", self.prefix)) - set(PREFIX_FIELDS)
        if unknown:
            raise ValueError(f"prefix: {{{min(unknown)}}} is not one of {', '.join(PREFIX_FIELDS)}")
        if self.prefix.startswith("/") or (self.prefix and not self.prefix.endswith("/")):
            raise ValueError("prefix: it must end with a slash and not begin with one")
        if self.endpoint_url and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", self.endpoint_url):
            raise ValueError("endpoint_url: it must be like https://host:port, without a password")


@dataclass(frozen=True, slots=True)
class Auth:
    """Who signs in, and where the sign-in is kept.

    Attributes:
        username: The account's name, usually an e-mail address; empty until the first sign-in.
        store: Where the refresh token is kept: the desktop's keyring, a file, or `auto`: the
            keyring when there is one, else the file.
    """

    username: str = ""
    store: Literal["auto", "keyring", "file"] = "auto"


@dataclass(frozen=True, slots=True)
class Folder:
    """The local side.

    Attributes:
        path: The synced folder, or where the drive is mounted; absolute, a leading `~` is the home
            folder.
        kind: A folder that holds all files, or a drive that holds those that were used.
        mode: Which way changes travel.
        poll_seconds: How often the vault is asked for changes made elsewhere, in seconds.
        ignore: Gitignore rules on top of the defaults and of the folder's `.vaultsyncignore`.
    """

    path: Path
    kind: Literal["folder", "drive"] = "folder"
    mode: Literal["two-way"] = "two-way"
    poll_seconds: float = field(default=30.0, metadata={"range": (0.2, 86_400)})
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the path means the same wherever a command is started."""
        if not self.path.is_absolute():
            raise ValueError(f"path: {self.path} is not absolute")


@dataclass(frozen=True, slots=True)
class Drive:
    """How the vault is mounted, where `folder.kind` is `drive`.

    Attributes:
        cache_gb: How much of the files in the vault is kept on this disk, in GB; what is not sent
            yet, is open or pinned is kept beyond that.
        backend: What speaks to the system for it: vaultsync itself, or libfuse3 through mfusepy.
        fsync: What a program that calls fsync waits for: that the bytes are safe on this disk, or
            that they are in the vault.
        onlookers: Programs that only look into files, on top of the usual thumbnailers and
            indexers: of what they open, no more is fetched than they read. `*` stands for any
            letters; `!` before a name takes it off the list.
    """

    cache_gb: float = field(default=10.0, metadata={"range": (0.01, 1_000_000)})
    backend: Literal["kernel", "mfusepy"] = "kernel"
    fsync: Literal["local", "remote"] = "local"
    onlookers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is done at a time.

    Attributes:
        transfers: Files under way at once.
    """

    transfers: int = field(default=16, metadata={"range": (1, 256)})


@dataclass(frozen=True, slots=True)
class Safety:
    """Which guards are off.

    Attributes:
        allow_unconditional: Write to a server that ignores If-Match, where a change that another
            program makes at the same moment is lost without a trace. Without it, such a vault is
            only read.
    """

    allow_unconditional: bool = False


@dataclass(frozen=True, slots=True)
class Trash:
    """What the trash of the folder keeps.

    Attributes:
        days: How long something stays in it, in days.
        disk_percent: How much of the disk it may take, in percent; the oldest goes first.
    """

    days: float = field(default=30.0, metadata={"range": (0.01, 36_500)})
    disk_percent: float = field(default=10.0, metadata={"range": (0, 100)})


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged.

    Attributes:
        level: The least important kind of message that is kept.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Device:
    """This machine, as other devices see it.

    Attributes:
        name: Shown in the names of conflict copies; the host's name by default.
    """

    name: str = field(default_factory=lambda: socket.gethostname().split(".")[0] or "device")


@dataclass(frozen=True, slots=True)
class Profile:
    """One folder bound to one vault, with everything that can be set about it.

    Attributes:
        name: What `--profile` selects; letters, digits, dots, dashes and underscores.
        cloud: Where the vault lives.
        folder: The local side.
        auth: Who signs in.
        device: This machine.
        drive: How the vault is mounted.
        limits: How much is done at a time.
        safety: Which guards are off.
        trash: What the trash keeps.
        log: What is logged.
        origins: Where each setting came from, by dotted name such as `folder.path`.
    """

    name: str
    cloud: Cloud
    folder: Folder
    auth: Auth = field(default_factory=Auth)
    device: Device = field(default_factory=Device)
    drive: Drive = field(default_factory=Drive)
    limits: Limits = field(default_factory=Limits)
    safety: Safety = field(default_factory=Safety)
    trash: Trash = field(default_factory=Trash)
    log: Log = field(default_factory=Log)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration file.

    Attributes:
        file: Where it is (or will be).
        profiles: What it holds, by name, in the order of the file.
    """

    file: Path
    profiles: Mapping[str, Profile]

    def profile(self, name: str) -> Profile:
        """The profile of that name; Misconfigured when there is none."""
        if name in self.profiles:
            return self.profiles[name]
        option = "" if name == DEFAULT else f" --profile {name}"
        hint = f"Run `vaultsync init{option}` to set it up."
        if self.profiles:
            hint += f" There is: {', '.join(self.profiles)}."
        raise Misconfigured(f"There is no profile '{name}' in {self.file}.", hint)


TABLES: Mapping[str, type] = MappingProxyType(
    {
        "cloud": Cloud,
        "folder": Folder,
        "auth": Auth,
        "device": Device,
        "drive": Drive,
        "limits": Limits,
        "safety": Safety,
        "trash": Trash,
        "log": Log,
    }
)
"""The tables of a profile, by name."""


def check_name(name: str) -> str:
    """Return `name` when it can name a profile; Misconfigured otherwise."""
    if not _NAME.fullmatch(name):
        raise Misconfigured(
            f"'{name}' cannot be the name of a profile.",
            "Use up to 32 letters, digits, dots, dashes and underscores.",
        )
    return name


def load(
    file: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    flags: Mapping[str, object] = MappingProxyType({}),
) -> Config:
    """Read a configuration file; a missing one holds no profiles.

    Args:
        file: The file.
        environment: Variables; `VAULTSYNC_<TABLE>_<KEY>` overrides that setting of every profile.
        flags: Values by dotted name that override everything else.

    Raises Misconfigured, saying where, for anything that is not a setting with a proper value.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"{file} cannot be read: {error}.", "Check its owner and mode."
        ) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(file, error) from error
    source = _Source(file, text)
    source.check_keys(document, ("profile",), "")
    profiles = source.table(document.get("profile", {}), "profile")
    return Config(
        file,
        MappingProxyType(
            {
                name: _profile(source, check_name(name), values, environment, flags)
                for name, values in profiles.items()
            }
        ),
    )


def save(file: Path, name: str, values: Mapping[str, object]) -> None:
    """Set settings of a profile and keep everything else in the file, comments included.

    The file is replaced atomically and readable by its owner only.

    Args:
        file: The file; made when missing, with its folder.
        name: The profile; made when missing.
        values: Values by dotted name such as `folder.path`; None takes the setting out.

    Raises Misconfigured when the file is not TOML; it is left as it is then.
    """
    import tomlkit  # noqa: PLC0415 - only the few commands that write need it

    check_name(name)
    file = file.resolve()
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        document = tomlkit.parse(text)
    except tomlkit.exceptions.TOMLKitError as error:
        raise _not_toml(file, error) from error
    profiles = _table_at(document, "profile", is_super_table=True)
    profile = _table_at(profiles, name, is_super_table=True)
    for dotted, value in values.items():
        table, _, key = dotted.partition(".")
        place = _table_at(profile, table)
        if value is None:
            place.pop(key, None)
        else:
            plain = str(value) if isinstance(value, Path) else value
            place[key] = list(plain) if isinstance(plain, tuple) else plain
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(file, tomlkit.dumps(document).encode())


def _not_toml(file: Path, error: Exception) -> Misconfigured:
    return Misconfigured(f"{file} is not valid TOML: {error}.", "Mend that line.")


def _table_at(parent: Any, key: str, *, is_super_table: bool | None = None) -> Any:
    """The table `key` of a tomlkit container, made when missing."""
    import tomlkit  # noqa: PLC0415

    if key not in parent:
        parent[key] = tomlkit.table(is_super_table)
    return parent[key]


def _replace(file: Path, content: bytes) -> None:
    """Put `content` in the place of a file, atomically, durably and with mode 0600."""
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _profile(
    source: _Source,
    name: str,
    values: object,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
) -> Profile:
    """Build one profile out of the four places a setting can come from."""
    where = f"profile.{name}"
    tables = source.table(values, where)
    source.check_keys(tables, tuple(TABLES), where)
    origins: dict[str, Origin] = {}
    built: dict[str, Any] = {}
    for table, kind in TABLES.items():
        given = source.table(tables.get(table, {}), f"{where}.{table}")
        source.check_keys(given, tuple(item.name for item in fields(kind)), f"{where}.{table}")
        chosen: dict[str, object] = {}
        for setting in _settings(table, kind):
            origin, place, value = setting.choose(source, name, given, environment, flags)
            origins[setting.dotted] = origin
            if origin is not Origin.DEFAULT:
                chosen[setting.key] = setting.check(value, place)
        try:
            built[table] = kind(**chosen)
        except ValueError as error:
            place = source.place(f"{where}.{table}", str(error).partition(":")[0])
            raise Misconfigured(f"In {place}: {table}.{error}.", "Mend that setting.") from error
    return Profile(name=name, origins=MappingProxyType(origins), **built)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What may be set, and to what.

    Attributes:
        table: The table it stands in.
        key: Its name there.
        kind: Its type, as the dataclass says.
        between: The least and the most a number may be, or None.
        required: Whether it has no default.
    """

    table: str
    key: str
    kind: Any
    between: tuple[float, float] | None
    required: bool

    @property
    def dotted(self) -> str:
        """Its full name, such as `folder.path`."""
        return f"{self.table}.{self.key}"

    def choose(
        self,
        source: _Source,
        profile: str,
        given: Mapping[str, object],
        environment: Mapping[str, str],
        flags: Mapping[str, object],
    ) -> tuple[Origin, str, object]:
        """The value that counts: its origin, where it stands (for a person), and itself."""
        where = f"profile.{profile}.{self.table}"
        variable = f"VAULTSYNC_{self.table}_{self.key}".upper()
        if self.dotted in flags:
            return Origin.FLAG, "the command line", flags[self.dotted]
        if variable in environment:
            value = self._parse(environment[variable])
            return Origin.ENVIRONMENT, f"the environment variable {variable}", value
        if self.key in given:
            return Origin.PROFILE, source.place(where, self.key), given[self.key]
        if self.required:
            raise Misconfigured(
                f"The profile '{profile}' in {source.file} lacks the setting {self.dotted}.",
                f"Add it to [{where}].",
            )
        return Origin.DEFAULT, "", None

    def _parse(self, text: str) -> object:
        """An environment variable's text as a TOML value; a list has one item a line."""
        if get_origin(self.kind) is tuple:
            return [line for line in text.splitlines() if line.strip()]
        if self.kind is bool:
            return {"true": True, "false": False}.get(text, text)
        if self.kind not in (int, float):
            return text
        try:
            return int(text) if self.kind is int else float(text)
        except ValueError:
            return text

    def check(self, value: object, place: str) -> object:
        """Return `value` as the setting's type; Misconfigured when it cannot be."""
        wanted = self._problem(value)
        if wanted:
            raise Misconfigured(f"In {place}: {self.dotted} is {value!r}.", f"It must be {wanted}.")
        if self.kind is Path:
            return Path(str(value)).expanduser()
        if get_origin(self.kind) is tuple:
            return tuple(cast("list[str]", value))
        return float(cast("float", value)) if self.kind is float else value

    def _problem(self, value: object) -> str:
        """What the value should be instead; empty when it is right."""
        if get_origin(self.kind) is Literal:
            choices = get_args(self.kind)
            return "" if value in choices else " or ".join(repr(choice) for choice in choices)
        if get_origin(self.kind) is tuple:
            texts = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
            return "" if texts else "a list of texts"
        if self.kind is bool:
            return "" if isinstance(value, bool) else "true or false"
        if self.kind in (str, Path):
            wanted = "a text in quotes" if self.kind is str else "the path of a folder"
            empty = (self.required or self.kind is Path) and not str(value)
            return wanted if empty or not isinstance(value, str | Path) else ""
        allowed = int if self.kind is int else int | float
        if not isinstance(value, allowed) or isinstance(value, bool):
            return "a whole number" if self.kind is int else "a number"
        if self.between and not self.between[0] <= value <= self.between[1]:
            return f"between {self.between[0]:g} and {self.between[1]:g}"
        return ""


def _settings(table: str, kind: type) -> Iterator[_Setting]:
    """Yield what may be set in a table."""
    hints = get_type_hints(kind)
    for item in fields(kind):
        required = item.default is MISSING and item.default_factory is MISSING
        between = item.metadata.get("range")
        yield _Setting(table, item.name, hints[item.name], between, required)


class _Source:
    """A file's text, to say where in it something is."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self._lines = text.splitlines()

    def place(self, table: str, key: str = "") -> str:
        """Where a key or a table stands, for a person."""
        line = self._line(table, key)
        return f"{self.file}, [{table}]" + (f", line {line}" if line else "")

    def table(self, value: object, where: str) -> Mapping[str, Any]:
        """Return `value` when it is a table; Misconfigured otherwise."""
        if isinstance(value, dict):
            return value
        raise Misconfigured(f"In {self.file}: {where} is not a table.", f"Write it as [{where}].")

    def check_keys(self, given: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
        """Raise Misconfigured for the first key that is not known, with a likely meaning."""
        for key in given:
            if key in known:
                continue
            from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

            close = get_close_matches(key, known, n=1)
            line = self._line(where, key) or self._line(f"{where}.{key}".lstrip("."), "")
            place = f"[{where}]" if where else "the file"
            raise Misconfigured(
                f"In {self.file}, {place}{f', line {line}' if line else ''}: unknown key '{key}'.",
                f"Did you mean '{close[0]}'?" if close else f"Known here: {', '.join(known)}.",
            )

    def _line(self, table: str, key: str) -> int | None:
        """The line of a key, or of a table's head; None when it is not written that way."""
        written = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        current = ""
        for number, line in enumerate(self._lines, 1):
            head = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
            if head:
                current = head[1]
            if current == table and (bool(written.match(line)) if key else bool(head)):
                return number
        return None

#!/usr/bin/env python3
"""The rules of the house that a compiler does not know: floors, doors, exits and sizes.

    house.py PROJECT_FOLDER

A module includes only lower floors. Each engine has one door. Only main ends the program. Functions fit a screen and files
one sitting; there a warning is enough up to a limit that nobody should reach.
"""
import pathlib
import re
import sys

# The one table of floors: room -> (floor, public headers under include/heed/).
ROOMS = {
    "base": (0, "arena log multiversion ragged real rng stage status version"),
    "engine": (1, "comm gemm shared store watchdog"),
    "config": (1, "config"),
    "data": (2, "batch corpus pairs similarity task tokenizer"),
    "nn": (2, "nn/activation nn/attention nn/attention_table nn/dropout nn/embedding nn/linear nn/loss nn/norm"),
    "model": (3, "gradient model params sample search variant"),
    "record": (4, "attention_log change_point checkpoint guard metrics phase probe_file trace"),
    "train": (5, "gradsync optimizer schedule train"),
    "bench": (6, ""),
    "probe": (6, "controls credit probe statistics verdict word_alignment"),
    "report": (6, "report"),
    "cli": (7, ""),
}
# Engine header -> the only sources that may include it.
DOORS = {
    "mpi.h": r"src/engine/comm\w*\.[ch]",
    "blis.h": r"src/engine/gemm\w*\.[ch]",
    "hdf5.h": r"src/engine/store\w*\.[ch]",
    "hdf5_hl.h": r"src/engine/store\w*\.[ch]",
    "Random123/philox.h": r"src/base/rng\.c",
}
# Calls that end the program -> where they may stand. status.c has the last word about our own bugs, comm.c ends all ranks.
ENDS = {
    r"(?:exit|_exit|quick_exit|abort|_Exit)": r"src/(cli/main|base/status|engine/comm)\.c",
    r"assert": r"(?!)",  # checks of our own reasoning are HEED_CHECK, which stays on in release builds
}
FUNCTION_LINES, FUNCTION_LIMIT = 60, 90
FILE_LINES, FILE_LIMIT = 450, 600

errors, warnings = [], []


def room_of_header(include):
    for room, (_, headers) in ROOMS.items():
        if include.removeprefix("heed/").removesuffix(".h") in headers.split():
            return room
    return None


def room_of_file(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" else room_of_header("/".join(parts[1:]))


def without_comments_and_strings(text):
    """The same number of lines, with comments and literals blanked."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def check_includes(path, text):
    own = room_of_file(path)
    if own not in ROOMS:
        errors.append(f"{path}: belongs to no room: add it to the table in tests/hygiene/house.py")
        return
    for number, line in enumerate(text.split("\n"), 1):
        include = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not include:
            continue
        where, name = f"{path}:{number}", include.group(2)
        if name in DOORS and not re.fullmatch(DOORS[name], path):
            errors.append(f"{where}: {name} has one door: only {DOORS[name]} may include it")
        if include.group(1) == "<" or name == "heed_describe.h":
            continue
        target = room_of_header(name) if name.startswith("heed/") else name.split("/")[0]
        if path.startswith("src/") and "/" not in name:
            target = own  # a neighbour in the same folder
        if target not in ROOMS:
            errors.append(f"{where}: {name}: include public headers as heed/x.h and a room's own as x.h or room/x.h")
        elif target != own and ROOMS[target][0] >= ROOMS[own][0]:
            errors.append(f"{where}: {own} (floor {ROOMS[own][0]}) must not include {name} of {target} "
                          f"(floor {ROOMS[target][0]})")
        elif target != own and not name.startswith("heed/") and path.startswith("include/"):
            errors.append(f"{where}: a public header must not include {name}, which is not installed")


def check_ends(path, code):
    for call, allowed in ENDS.items():
        if not re.fullmatch(allowed, path):
            for found in re.finditer(rf"(?<![\w.>]){call}\s*\(", code):
                number = code.count("\n", 0, found.start()) + 1
                errors.append(f"{path}:{number}: {found.group().rstrip('( ')}(): only main ends the program")


def report_size(where, what, lines, usual, limit):
    if lines > limit:
        errors.append(f"{where}: {what} has {lines} lines, more than {limit}")
    elif lines > usual:
        warnings.append(f"{where}: {what} has {lines} lines, more than {usual}")


def check_sizes(path, code):
    lines = code.rstrip("\n").split("\n")
    report_size(path, "the file", len(lines), FILE_LINES, FILE_LIMIT)
    head = body = None  # where a declaration starts in column 1, and where its braces open
    for number, line in enumerate(lines, 1):
        if line == "}" and body:
            report_size(f"{path}:{head}", "the function", number - head + 1, FUNCTION_LINES, FUNCTION_LIMIT)
        if line[:1] in ("}", "#") or (line.endswith(";") and not body):
            head = body = None
        elif line.strip() and not head:
            head = number
        if head and not body and line.endswith("{"):
            body = number if "(" in "".join(lines[head - 1:number]) else None


def main():
    root = pathlib.Path(sys.argv[1])
    files = sorted([*root.glob("src/**/*.[ch]"), *root.glob("include/heed/**/*.h")])
    for file in files:
        path, text = file.relative_to(root).as_posix(), file.read_text()
        code = without_comments_and_strings(text)
        check_includes(path, text)
        check_ends(path, code)
        check_sizes(path, code)
    for _, headers in ROOMS.values():
        for header in headers.split():
            if not (root / "include/heed" / f"{header}.h").exists():
                errors.append(f"include/heed/{header}.h is in the table of floors but not there")
    if len(files) < 10:
        errors.append(f"{root}: found only {len(files)} files")
    for line in warnings:
        print("warning:", line)
    for line in errors:
        print("error:", line)
    print(f"{len(files)} files, {len(errors)} errors, {len(warnings)} warnings")
    return bool(errors)


sys.exit(main())

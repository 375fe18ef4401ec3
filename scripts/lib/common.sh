# Sourced by the scripts of this folder: where things are, packages, builds.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Debian packages that a build needs and that are not there.
missing_packages() {
    command -v gcc >/dev/null || echo gcc libc6-dev
    command -v meson >/dev/null || echo meson
    command -v ninja >/dev/null || echo ninja-build
    command -v pkg-config >/dev/null || echo pkg-config
    command -v python3 >/dev/null || echo python3
    local pair
    for pair in libconfig:libconfig-dev libbsd-overlay:libbsd-dev criterion:libcriterion-dev \
        libcurl:libcurl4-openssl-dev; do
        pkg-config --exists "${pair%%:*}" 2>/dev/null || echo "${pair##*:}"
    done
}

# Install packages quietly; needs root. Arguments: package names.
install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1; then
        apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "$@" >/dev/null
    fi
}

# Make sure that a build is possible.
need_packages() {
    local packages
    packages=$(missing_packages | tr '\n' ' ')
    [ -n "${packages// /}" ] || return 0
    [ "$(id -u)" = 0 ] || fail "please install: apt-get install $packages"
    say "installing $packages"
    # shellcheck disable=SC2086
    install_packages $packages || fail "cannot install $packages"
}

# configure DIR [meson option ...]: a build directory with these options, brought up to date, or made
# anew when the one that is there cannot be used (another compiler, a moved tree).
configure() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ] && ninja -C "$dir" build.ninja >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$dir"
    meson setup "$dir" "$root" "$@" >"$dir.setup.log" 2>&1 || {
        tail -n 20 "$dir.setup.log"
        return 1
    }
    rm -f "$dir.setup.log"
}

# compile DIR [target ...]: silent but for errors.
compile() {
    local dir=$1 log
    shift
    log=$dir/compile.log
    ninja -C "$dir" "$@" >"$log" 2>&1 && return 0
    grep -E -A 6 'error:|undefined reference' "$log" | head -n 60
    return 1
}

# build_sanitized DIR: everything with address and undefined behaviour sanitizers.
build_sanitized() {
    configure "$1" -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args=-fno-sanitize-recover=all && compile "$1"
}

# sanitizer_reports DIR: the files in which a sanitizer (log_path=DIR/...) says that something is wrong.
sanitizer_reports() { grep -lsE 'ERROR:|runtime error:' "$1"/*; }

# The programs of the ordinary build, ready to run, in $build.
build=${TERN_BUILD:-$root/build}
build_programs() {
    need_packages
    configure "$build" || fail "meson setup failed"
    compile "$build" || fail "the build failed, see $build/compile.log"
}

# program NAME: its path in the build tree; empty when it is not built (yet).
program() {
    local path
    for path in "$build/$1/$1" "$build"/*/"$1" "$build"/*/*/"$1"; do
        if [ -f "$path" ] && [ -x "$path" ]; then
            echo "$path"
            return 0
        fi
    done
}

# What every instance of a kind needs alike, as functions: an image is built by them, and a boot calls them again. Those
# that take long look first at what is there, so that an image saves the work that is still right and no more.
# Before this stand the settings (SET, CODE_BUCKET, …), FIRST, the lock of boto3, and HELPER, a small program that talks
# to AWS.
# shellcheck shell=bash disable=SC2154
set -Eeuo pipefail  # with E, what fails inside a function is heard of too
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 AWS_DEFAULT_REGION=$REGION HOME=/root
export UV_COMPILE_BYTECODE=1  # whoever runs what is installed may not write there, and would compile it at each start
said() { echo "$(date -u +%FT%TZ) ${SECONDS}s $*"; }
instance() { /opt/boot/bin/python /opt/boot/instance.py "$@"; }

# What others hold or serve may be away for minutes: a lock of the machine's own upgrade, a mirror, an index, the store.
again() {
    local try
    for try in {1..9}; do
        "$@" && return
        said "try $try of $1 failed"
        sleep 30
    done
    "$@"
}

WANTED=(bubblewrap python3-pip python3-venv unzip)
packages() {
    dpkg -s "${WANTED[@]}" &>/dev/null && return
    apt-get update -qq || said "the lists of packages are as they were"
    apt-get install -y -qq -o DPkg::Lock::Timeout=60 --no-install-recommends "${WANTED[@]}"
}

# The list lies where it is looked for only once all of it is installed.
own_python() {
    [[ -f /opt/boot/first.txt && $(</opt/boot/first.txt) == "$FIRST" ]] && return
    python3 -m venv /opt/boot
    printf '%s\n' "$FIRST" >/opt/boot/first.new
    again /opt/boot/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r /opt/boot/first.new
    mv /opt/boot/first.new /opt/boot/first.txt
}

# Ubuntu 24.04 keeps user namespaces from programs without a profile; only bubblewrap is to make some.
confine() {
    [[ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]] || return 0
    cat >/etc/apparmor.d/aether-bwrap <<'END'
abi <abi/4.0>,
include <tunables/global>
profile aether-bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
}
END
    apparmor_parser -r /etc/apparmor.d/aether-bwrap
}

# The rights of what was unpacked: what is installed beside it (.venv) has its own, and takes long to walk through.
code() {
    again instance fetch "$CODE_BUCKET" "$CODE_KEY" /opt/code.zip
    mkdir -p /opt/aether
    unzip -q -o /opt/code.zip -d /opt/aether
    chmod -R a+rX,go-w /opt/aether/*
    chmod +x /opt/aether/requirements/sync
}

# Returns at once where .venv/installed names the same locked set.
requirements() {
    local build=()
    [[ $SET != learned ]] || build=(cuda)
    again /opt/aether/requirements/sync "$SET" "${build[@]}"
}

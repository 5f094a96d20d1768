# An instance's first minutes. Before this stand the settings (LAB, ROLE, COMMAND, SET, …), FIRST, the lock of boto3, and
# HELPER, a small program that talks to AWS. Everything that is said here lies in boot.log and goes to CloudWatch.
# shellcheck shell=bash disable=SC2154
set -Eeuo pipefail  # with E, what fails inside a function is heard of too
mkdir -p /var/log/aether /opt/boot
exec > >(tee -a /var/log/aether/boot.log) 2>&1
said() { echo "$(date -u +%FT%TZ) ${SECONDS}s $*"; }
export DEBIAN_FRONTEND=noninteractive AWS_DEFAULT_REGION=$REGION HOME=/root
instance() { /opt/boot/bin/python /opt/boot/instance.py "$@"; }

# What others hold or serve may be away for minutes: a lock of the machine's own upgrade, a mirror, the index of pip.
again() {
    local try
    for try in {1..9}; do
        "$@" && return
        said "try $try of $1 failed"
        sleep 30
    done
    "$@"
}

# The topic hears the last lines, and the instance goes: nothing starts again in silence.
failed() {
    said "the boot failed in line $1"
    if [[ -x /opt/boot/bin/python ]] && instance failed "the boot of $ROLE"; then
        [[ $ROLE == orchestrator ]] || exit 1
    else
        said "nobody could be told; see the console's output"
    fi
    shutdown -h +30  # where it still stands: time for a look, and no more than two such mails an hour
}
trap 'failed $((${#BASH_LINENO[@]} > 1 ? BASH_LINENO[-2] : LINENO))' ERR  # of functions, the line that called them

said "boot of $ROLE in $LAB"
if (($(awk '/^MemTotal/ {print $2}' /proc/meminfo) < 2000000)); then  # the orchestrator's: room for the worst moment
    fallocate -l 2G /swapfile
    chmod 600 /swapfile
    mkswap /swapfile >/dev/null
    swapon /swapfile
fi
packages() {
    apt-get update -qq || said "the lists of packages are as they were"
    apt-get install -y -qq -o DPkg::Lock::Timeout=60 --no-install-recommends bubblewrap python3-pip python3-venv unzip
}
again packages

python3 -m venv /opt/boot
printf '%s\n' "$FIRST" >/opt/boot/first.txt
again /opt/boot/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r /opt/boot/first.txt
printf '%s\n' "$HELPER" >/opt/boot/instance.py
cat >/opt/boot/environment <<END
AWS_DEFAULT_REGION=$REGION
AETHER_LAB=$LAB
AETHER_ROLE=$ROLE
AETHER_TELEMETRY=emf
AETHER_LOG_GROUP=$LOG_GROUP
AETHER_TOPIC=$TOPIC
$TOLD
END
set -a
# shellcheck source=/dev/null
. /opt/boot/environment
set +a

unit() { cat >"/etc/systemd/system/$1"; }
unit aether-logs.service <<END
[Service]
EnvironmentFile=/opt/boot/environment
ExecStart=/opt/boot/bin/python /opt/boot/instance.py logs
Restart=always
RestartSec=5
END
systemctl daemon-reload
systemctl start aether-logs
said "logs go to $LOG_GROUP"

# Ubuntu 24.04 keeps user namespaces from programs without a profile; only bubblewrap is to make some.
if [[ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]]; then
    cat >/etc/apparmor.d/aether-bwrap <<'END'
abi <abi/4.0>,
include <tunables/global>
profile aether-bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
}
END
    apparmor_parser -r /etc/apparmor.d/aether-bwrap
fi

instance fetch "$CODE_BUCKET" "$CODE_KEY" /opt/code.zip
mkdir -p /opt/aether
unzip -q -o /opt/code.zip -d /opt/aether
chmod -R a+rX,go-w /opt/aether
chmod +x /opt/aether/requirements/sync
said "the code is here"
if [[ $SET == learned ]]; then /opt/aether/requirements/sync learned cuda; else /opt/aether/requirements/sync "$SET"; fi
said "the requirements are installed"

useradd --create-home --shell /usr/sbin/nologin aether
said "sandbox: $(cd / && runuser -u aether -- /opt/aether/.venv/bin/python -c \
    'from gpu_workers.sandbox.canary import sandbox_here as s; print(s().by if s().works else "NOT SANDBOXED: " + s().why)' || echo "NOT TRIED")"

unit "aether-$ROLE.service" <<END
[Unit]
StartLimitIntervalSec=0
[Service]
User=aether
WorkingDirectory=/home/aether
EnvironmentFile=/opt/boot/environment
ExecStart=/opt/aether/.venv/bin/aether $COMMAND
ExecStopPost=+/opt/boot/bin/python /opt/boot/instance.py ended
StandardOutput=append:/var/log/aether/$ROLE.log
StandardError=append:/var/log/aether/$ROLE.log
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=90
Restart=$RESTART
RestartSec=30
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now "aether-$ROLE"
said "$ROLE is up"

# An instance's first minutes, by the functions of install.sh. Everything that is said here lies in boot.log and goes to
# CloudWatch.
# shellcheck shell=bash disable=SC2154
mkdir -p /var/log/aether
exec > >(tee -a /var/log/aether/boot.log) 2>&1

# The topic hears the last lines, and the instance goes: nothing starts again in silence. By Ubuntu's own python, since
# the packages of ours may be what could not be had.
failed() {
    said "the boot failed in line $1 of /opt/boot/boot.sh"
    if /usr/bin/python3 /opt/boot/instance.py failed "the boot of $ROLE"; then
        [[ $ROLE == orchestrator ]] || exit 1
    else
        said "nobody could be told; see the console's output"
    fi
    shutdown -h +30  # where it still stands: time for a look, and no more than two such mails an hour
}
trap 'failed $((${#BASH_LINENO[@]} > 2 ? BASH_LINENO[-3] : LINENO))' ERR  # of functions, the line that called them
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

said "boot of $ROLE in $LAB"
if (($(awk '/^MemTotal/ {print $2}' /proc/meminfo) < 2000000)); then  # the orchestrator's: room for the worst moment
    fallocate -l 2G /swapfile
    chmod 600 /swapfile
    mkswap /swapfile >/dev/null
    swapon /swapfile
    echo "/swapfile none swap sw 0 0" >>/etc/fstab
fi
if [[ $ROLE != orchestrator ]]; then  # it lives for hours, and nothing may run beside what it measures
    systemctl disable --now apt-daily.timer apt-daily-upgrade.timer || said "no timer of apt was stopped"
fi
again packages
own_python

unit() { cat >"/etc/systemd/system/$1"; }
unit aether-logs.service <<END
[Unit]
Wants=network-online.target
After=network-online.target
[Service]
EnvironmentFile=/opt/boot/environment
ExecStart=/opt/boot/bin/python /opt/boot/instance.py logs
Restart=always
RestartSec=5
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now aether-logs
said "logs go to $LOG_GROUP"

# CUDA has its nodes made when it is first asked, by a helper with root's rights, which it has not in a box. So they stand
# before there is one, and after each restart.
if [[ $ROLE == gpu ]]; then
    cat >/opt/boot/devices <<'END'
#!/bin/sh -e
nvidia-smi -L
nvidia-modprobe -u -c 0 || modprobe nvidia-uvm
ls -l /dev/nvidia0 /dev/nvidia-uvm
END
    chmod +x /opt/boot/devices
    mkdir -p /etc/systemd/system/aether-gpu.service.d
    unit aether-gpu.service.d/devices.conf <<'END'
[Service]
ExecStartPre=+/opt/boot/devices
END
    /opt/boot/devices
fi

confine
code
said "the code is here"
requirements
/opt/aether/.venv/bin/python -m compileall -q /opt/aether/*/
said "the requirements are installed"

useradd --create-home --shell /usr/sbin/nologin aether
said "sandbox: $(cd / && runuser -u aether -- /opt/aether/.venv/bin/python -c \
    'from gpu_workers.sandbox.canary import sandbox_here as s; print(s().by if s().works else "NOT SANDBOXED: " + s().why)' || echo "NOT TRIED")"
if [[ $ROLE == gpu ]]; then
    cat >/opt/boot/in_a_box.py <<'END'
from subprocess import PIPE

from gpu_workers.sandbox.box import Box
from gpu_workers.sandbox.devices import probe
from gpu_workers.sandbox.limits import Limits
from gpu_workers.sandbox.plan import Plan
from gpu_workers.sandbox.runtime import interpreter, packages, python

use = "import torch; torch.ones(1, device='cuda').cpu(); print('works:', torch.cuda.get_device_name())"
devices = probe()
box = Box(Plan(command=interpreter(use), binds=(*python(), *packages()), devices=devices,
               limits=Limits(private_memory=not devices.nodes)), stdout=PIPE, stderr=PIPE)
box.release()
output, trouble = box.process.communicate()
said = (output or trouble).decode(errors="replace").strip().splitlines() or ["nothing"]
print(said[-1], *devices.nodes)
END
    said "gpu in a box: $(cd / && timeout 300 runuser -u aether -- /opt/aether/.venv/bin/python /opt/boot/in_a_box.py ||
        echo "NOT TRIED")"
fi

unit "aether-$ROLE.service" <<END
[Unit]
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
[Service]
User=aether
WorkingDirectory=/home/aether
EnvironmentFile=/opt/boot/environment
ExecStart=/opt/aether/.venv/bin/aether $COMMAND
ExecStopPost=+/usr/bin/python3 /opt/boot/instance.py ended
StandardOutput=append:/var/log/aether/$ROLE.log
StandardError=append:/var/log/aether/$ROLE.log
# Where memory ends the kernel takes a box first (launch.py). By systemd's default the worker would end with it.
OOMPolicy=continue
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

# The build of an image, by the functions of install.sh, which a boot from it calls again. The code goes: each boot brings
# its own. What stays of it is .venv, with the sum of the locked set that stands in there.
# shellcheck shell=bash disable=SC2154
again packages
own_python
printf '%s\n' "$HELPER" >/opt/boot/instance.py
confine
code
requirements
rm -rf /opt/code.zip /opt/aether/* /opt/boot/instance.py /opt/boot/bake.sh
said "baked"

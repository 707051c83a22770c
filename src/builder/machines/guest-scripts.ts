/** Scripts for any shell of a guest, macOS or Linux, as `sh -c SCRIPT pomona ARGUMENT...`. */

/**
 * Runs a command in a directory, which is made, as a user: DIR USER VARIABLES COMMAND... An empty USER
 * is the one who is logged in, `#1:2` are ids. VARIABLES are names, separated by commas, that go along.
 */
export const RUN_AS = `
dir=$1 user=$2 variables=$3; shift 3
mkdir -p "$dir" 2>/dev/null || sudo -n mkdir -p "$dir"; cd "$dir" || exit 126
[ -n "$user" ] && [ "$user" != "$(id -un)" ] || exec "$@"
ids=\${user#\\#}
if [ "$ids" != "$user" ]; then set -- -u "#\${ids%:*}" -g "#\${ids#*:}" -- "$@"; else set -- -u "$user" -- "$@"; fi
if command -v sudo >/dev/null 2>&1; then exec sudo -n -H \${variables:+--preserve-env="$variables"} "$@"; fi
if [ "$ids" = 0:0 ] && [ "$(id -u)" = 0 ]; then shift 5; exec "$@"; fi
[ "$ids" = "$user" ] || { echo "there is no sudo in this guest, to be the user $user" >&2; exit 126; }
shift 3
exec su "$user" -s /bin/sh -c 'exec "$0" "$@"' "$@"
`;

/** Makes a directory that is in memory, never on the disk, and prints its path. */
export const SECRETS_DIR = `
umask 022
if [ "$(uname -s)" = Darwin ]; then
  dir=/Volumes/pomona-secrets
  [ -d "$dir" ] || disk=$(hdiutil attach -nomount ram://8192) || exit
  [ -d "$dir" ] || diskutil erasevolume HFS+ pomona-secrets $disk >/dev/null || exit
else
  for place in /dev/shm /run /tmp; do
    [ "$(stat -f -c %T "$place" 2>/dev/null)" = tmpfs ] && [ -w "$place" ] && break
    place=
  done
  [ -n "$place" ] || { echo 'no place in this guest is in memory: mount a tmpfs at /dev/shm' >&2; exit 1; }
  dir=$place/pomona-secrets
fi
rm -rf "$dir"/* && mkdir -p "$dir" && printf %s "$dir"
`;

/** Lets a file be found where a step looks for it: FILE TARGET. */
export const LINK_SECRET = `
mkdir -p "$(dirname "$2")" && ln -sfn "$1" "$2"
`;

/** Takes secrets away again: DIR TARGET... */
export const FORGET_SECRETS = `
dir=$1; shift
for target in "$@"; do [ ! -L "$target" ] || rm -f "$target"; done
rm -rf "$dir"/*
if [ "$(uname -s)" = Darwin ]; then hdiutil detach -force "$dir" >/dev/null; else rmdir "$dir"; fi
`;

/** Puts what is in a directory into another, as whoever runs it: FROM TO. */
export const PUT_FILES = `
mkdir -p "$2" && cp -RpP "$1"/. "$2"/
`;

/** The guest shuts down by itself as soon as it can, where a power button asks a person first. */
export const SHUT_DOWN = `
sync
[ "$(uname -s)" != Darwin ] || nohup sh -c 'sleep 2; sudo -n shutdown -h now' </dev/null >/dev/null 2>&1 &
`;

/**
 * Takes out of a guest what no image is to have: histories, credentials and work of runners, tokens of
 * tools, private keys of users, logs, mail, caches of installers, and PATTERN... Then writes over the
 * room that is free, so that nothing removed can be read from the disk.
 */
export const FINALIZE = `
set -u
PATH=$PATH:/usr/sbin:/sbin
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else "$@"; fi; }
gone() {
  for path in "$@"; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    as_root rm -rf "$path" && echo "removed $path"
  done
}
case $(uname -s) in Darwin) homes='/Users/* /var/root' ;; *) homes='/home/* /root' ;; esac
for home in $homes "$HOME"; do
  as_root test -d "$home" || continue
  for name in .bash_history .zsh_history .zsh_sessions .sh_history .history .python_history .node_repl_history \\
    .lesshst .viminfo .mysql_history .psql_history .sqlite_history .bash_sessions .wget-hsts \\
    .netrc .npmrc .pypirc .git-credentials .config/git/credentials .config/gh/hosts.yml .docker/config.json \\
    .aws/credentials .aws/cli/cache .aws/sso/cache .azure .config/gcloud .kube/config .vault-token .s3cfg .boto \\
    .gem/credentials .cargo/credentials .cargo/credentials.toml .config/hub .terraform.d/credentials.tfrc.json \\
    .cache .Trash Library/Caches Library/Logs .pomona-copy; do
    gone "$home/$name"
  done
  for file in "$home"/.ssh/*; do
    if as_root grep -qs 'PRIVATE KEY' "$file"; then gone "$file"; fi
  done
  for runner in "$home/actions-runner" "$home/runner" "$home/jenkins" "$home/agent"; do
    gone "$runner/.runner" "$runner/.credentials" "$runner/.credentials_rsaparams" "$runner/_work" "$runner/_diag" \\
      "$runner/.agent" "$runner/workspace" "$runner/remoting" "$runner/secret" "$runner/secret-file"
  done
done
for pattern in "$@"; do eval "gone $pattern"; done
[ "$(uname -s)" != Darwin ] || gone /etc/ssh/ssh_host_*
if [ -f /etc/machine-id ]; then as_root sh -c ': > /etc/machine-id' && echo 'emptied /etc/machine-id'; fi
as_root sh -c 'find /var/log -type f -exec sh -c ": > \\"\\$1\\"" sh {} \\;' 2>/dev/null
as_root sh -c 'rm -rf /tmp/* /var/tmp/* /var/mail/* /var/cache/apt/archives/*.deb' 2>/dev/null
sync
if as_root fstrim -a 2>/dev/null; then echo 'free room was given back'; else
  zeros=$HOME/.pomona-zeros
  dd if=/dev/zero of="$zeros" bs=1048576 2>/dev/null
  sync
  rm -f "$zeros" && echo 'free room was written over'
fi
sync
`;

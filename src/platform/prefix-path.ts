/** Where images' tools are shown to commands, where nothing else is said: Homebrew's own place. */
export const PREFIX_PATH = process.platform === 'darwin' ? '/opt/homebrew' : '/usr/local';

import { execFileSync } from 'node:child_process';

/** What npm needs to reach its registry from inside a worker, as it does here. */
export function npmEnvironment(): Record<string, string> {
  const env: Record<string, string> = { npm_config_update_notifier: 'false' };
  for (const setting of ['registry', 'cafile', 'proxy', 'https-proxy']) {
    const value = execFileSync('npm', ['config', 'get', setting], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    if (value !== '' && value !== 'null' && value !== 'undefined') {
      env[`npm_config_${setting.replaceAll('-', '_')}`] = value;
    }
  }
  for (const name of ['NODE_EXTRA_CA_CERTS', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

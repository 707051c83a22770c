import type { IntegrationOrder } from '../controller/ci/integration.ts';
import { CI_DRIVERS } from '../drivers/ci/drivers.ts';
import type { IntegrationConfig } from '../protocol/config/integrations/integrations.ts';

/** The integrations of a configuration with their drivers. */
export function integrationOrders(configs: readonly IntegrationConfig[]): IntegrationOrder[] {
  return configs.map((config) => ({
    settings: config,
    open: (tools) => openDriver(config, tools),
  }));
}

function openDriver(
  config: IntegrationConfig,
  tools: Parameters<IntegrationOrder['open']>[0],
): ReturnType<IntegrationOrder['open']> {
  switch (config.kind) {
    case 'buildbot':
      return CI_DRIVERS.buildbot.open(config.settings, tools);
    case 'github':
      return CI_DRIVERS.github.open(config.settings, tools);
    case 'native':
      return CI_DRIVERS.native.open(config.settings, tools);
    case 'listener':
      return CI_DRIVERS.listener.open(config.settings, tools);
    case 'jenkins':
      return CI_DRIVERS.jenkins.open(config.settings, tools);
  }
}

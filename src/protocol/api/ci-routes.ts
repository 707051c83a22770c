import {
  ciCheckSchema,
  ciExplanationSchema,
  ciJobSchema,
  ciQuestionSchema,
  integrationSchema,
} from './ci-resources.ts';
import { page } from './page.ts';
import type { Route } from './route.ts';

/** Operations on integrations. */
export const CI_ROUTES = {
  listIntegrations: {
    id: 'listIntegrations',
    method: 'GET',
    path: '/ci',
    summary: 'List integrations, how their CI systems are and what waits there',
    role: 'viewer',
    status: 200,
    response: page(integrationSchema),
  },
  listCiJobs: {
    id: 'listCiJobs',
    method: 'GET',
    path: '/ci/{name}/jobs',
    summary: 'List the jobs of a CI system that wait or run, and what they wait for',
    role: 'viewer',
    status: 200,
    response: page(ciJobSchema),
  },
  explainCi: {
    id: 'explainCi',
    method: 'POST',
    path: '/ci/explain',
    summary: 'Say which pool a job of a CI system would go to, and why',
    role: 'viewer',
    unaudited: true,
    body: ciQuestionSchema,
    status: 200,
    response: page(ciExplanationSchema),
  },
  checkCi: {
    id: 'checkCi',
    method: 'POST',
    path: '/ci/{name}/check',
    summary: 'Try what an integration needs of its CI system',
    role: 'operator',
    status: 200,
    response: page(ciCheckSchema),
  },
  pauseCi: {
    id: 'pauseCi',
    method: 'POST',
    path: '/ci/{name}/pause',
    summary: 'Make no more runners for an integration',
    role: 'operator',
    status: 200,
    response: integrationSchema,
  },
  resumeCi: {
    id: 'resumeCi',
    method: 'POST',
    path: '/ci/{name}/resume',
    summary: 'Make runners for an integration again',
    role: 'operator',
    status: 200,
    response: integrationSchema,
  },
} as const satisfies Record<string, Route>;

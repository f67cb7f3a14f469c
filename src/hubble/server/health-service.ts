/**
 * @module
 * The standard health service: serving from the first to the last moment that the
 * server answers at all.
 */
import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
} from '../../api/gen/grpc/health/v1/health.ts';

/** The whole server, and the name that upstream's probes ask for. */
const served = new Set(['', 'hubble.server.Observer', 'observer.Observer']);

export function healthImplementation(): UntypedServiceImplementation {
  return {
    check: (
      call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
      answer: sendUnaryData<HealthCheckResponse>,
    ) => {
      if (served.has(call.request.service)) {
        answer(null, { status: HealthCheckResponse_ServingStatus.SERVING });
      } else {
        answer({ code: status.NOT_FOUND, details: `unknown service ${call.request.service}` });
      }
    },
    // Stays open: the end of the stream is the end of the server.
    watch: (call: ServerWritableStream<HealthCheckRequest, HealthCheckResponse>) => {
      const known = served.has(call.request.service);
      call.write({
        status: known
          ? HealthCheckResponse_ServingStatus.SERVING
          : HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN,
      });
    },
  };
}

/**
 * @module
 * gRPC reflection (v1 and v1alpha, which differ by name only) from the descriptors
 * that were generated with the code: what grpcurl asks before anything else.
 */
import type {
  ServerDuplexStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { type FileDescriptor, fileDescriptors } from '../../api/gen/descriptors.ts';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../api/gen/grpc/reflection/v1/reflection.ts';

type Answer = Partial<ServerReflectionResponse>;

const alphaName = 'grpc.reflection.v1alpha.ServerReflection';

export const reflectionDefinitions: readonly ServiceDefinition[] = [
  ServerReflectionService,
  {
    serverReflectionInfo: {
      ...ServerReflectionService.serverReflectionInfo,
      path: `/${alphaName}/ServerReflectionInfo`,
    },
  },
];

/** `services` are the full names of what the server registers besides reflection. */
export function reflectionImplementation(
  services: readonly string[],
): UntypedServiceImplementation {
  const names = [...services, 'grpc.reflection.v1.ServerReflection', alphaName].sort();
  return {
    serverReflectionInfo: (
      call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>,
    ) => {
      call.on('data', (request: ServerReflectionRequest) => {
        call.write({
          valid_host: request.host,
          original_request: request,
          ...respond(request, names),
        });
      });
      call.on('end', () => call.end());
    },
  };
}

function respond(request: ServerReflectionRequest, names: readonly string[]): Answer {
  if (request.list_services !== undefined) {
    return { list_services_response: { service: names.map((name) => ({ name })) } };
  }
  if (request.file_by_filename !== undefined) {
    const wanted = request.file_by_filename;
    return files(fileDescriptors.find((file) => file.name === wanted));
  }
  if (request.file_containing_symbol !== undefined) {
    return files(findSymbol(request.file_containing_symbol));
  }
  if (request.all_extension_numbers_of_type !== undefined) {
    const base_type_name = request.all_extension_numbers_of_type;
    return { all_extension_numbers_response: { base_type_name, extension_number: [] } };
  }
  return files(undefined);
}

/** A symbol may be nested, or a method: then the file of what it is in. */
function findSymbol(symbol: string): FileDescriptor | undefined {
  for (let name = symbol; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
    const found = fileDescriptors.find((file) => file.symbols.includes(name));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The file and all that it imports, since clients need both. */
function files(file: FileDescriptor | undefined): Answer {
  if (file === undefined) {
    return { error_response: { error_code: status.NOT_FOUND, error_message: 'not found' } };
  }
  const wanted = new Set<FileDescriptor>([file]);
  for (const one of wanted) {
    for (const name of one.imports) {
      const imported = fileDescriptors.find((candidate) => candidate.name === name);
      if (imported !== undefined) wanted.add(imported);
    }
  }
  return {
    file_descriptor_response: {
      file_descriptor_proto: [...wanted].map((one) => Buffer.from(one.bytes, 'base64')),
    },
  };
}
